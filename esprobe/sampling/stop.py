"""Being asked to stop: Ctrl-C, and the signals with which schedulers announce preemption."""

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

_BY_NAME = {"SIGTERM": 75, "SIGUSR1": 75, "SIGINT": 130}
EXIT_CODES = {getattr(signal, name): code for name, code in _BY_NAME.items() if hasattr(signal, name)}
"""75 (EX_TEMPFAIL) is what a Slurm script requeues on; 130 is the shell's own code for Ctrl-C."""


class StopSignals:
    """While entered, turns the signals into a flag that ``self()`` reads, so that no rollout is torn.

    Until ``defer()`` is called nothing has been drawn that could be lost, and a signal ends the process at once.
    After it, engines read the flag at every token, so that a second Ctrl-C has nothing to hasten.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._deferring = False
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether the run has been asked to stop."""
        return self.received is not None

    def defer(self) -> None:
        """From now on only raise the flag: there is work to be stored first."""
        self._deferring = True

    @property
    def exit_code(self) -> int:
        """The exit code for the signal received."""
        assert self.received is not None
        return EXIT_CODES[self.received]

    def __enter__(self) -> Self:
        for number in EXIT_CODES:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        if not self._deferring:
            told = f"stopped by {self.received.name} before sampling began; the same command starts again\n"
            # Past sys.stderr, which the signal may have interrupted in the middle of a line. Nobody may be listening.
            with suppress(OSError):
                os.write(2, told.encode())
            # SystemExit passes through the "except Exception" of libraries that are being imported.
            raise SystemExit(self.exit_code)
