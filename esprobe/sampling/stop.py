"""Stop requests: Ctrl-C, and the signals with which schedulers announce preemption."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from esprobe.errors import StoppedError

_BY_NAME = {"SIGTERM": 75, "SIGUSR1": 75, "SIGHUP": 75, "SIGINT": 130}
EXIT_CODES = {getattr(signal, name): code for name, code in _BY_NAME.items() if hasattr(signal, name)}
"""A Slurm script requeues the job on 75 (EX_TEMPFAIL); 130 is the shell's own code for Ctrl-C."""
_IGNORABLE = {getattr(signal, "SIGHUP", None)}
"""What nohup ignores, so that a run goes on when its terminal closes."""


class StopSignals:
    """While entered, turns the signals into a flag that ``self()`` reads, so that no rollout is stored half-finished.

    Before ``defer()`` is called there are no rollouts to lose, and a signal ends the process at once. After it, engines
    read the flag at every token, so that a second Ctrl-C would not stop the run any faster.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._deferring = False
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether the run has been asked to stop."""
        return self.received is not None

    def defer(self) -> None:
        """From now on only set the flag, because finished rollouts have to be stored before the process ends."""
        self._deferring = True

    @property
    def exit_code(self) -> int:
        """The exit code for the signal received."""
        assert self.received is not None
        return EXIT_CODES[self.received]

    def while_locked(self, database: Path, what: str) -> StoppedError:
        """The end of a stopped run that cannot store ``what``, because another program holds a lock."""
        assert self.received is not None
        return StoppedError(
            f"stopped by {self.received.name} while another program held a lock on {database}: {what} could not be "
            f"stored, everything before is. Run the same command again to draw what is missing",
            self.exit_code,
        )

    def __enter__(self) -> Self:
        for number in EXIT_CODES:
            if number in _IGNORABLE and signal.getsignal(number) is signal.SIG_IGN:
                continue
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
            message = f"stopped by {self.received.name} before sampling began; the same command starts again\n"
            # Not through sys.stderr, which the signal may have interrupted in the middle of a write. It may be closed.
            with suppress(OSError):
                os.write(2, message.encode())
            # SystemExit passes through the "except Exception" of libraries that are being imported.
            raise SystemExit(self.exit_code)


def end_by_signal() -> None:
    """From now on SIGTERM and SIGHUP end a command as Ctrl-C does: what it had half written is removed."""

    def end(number: int, frame: FrameType | None) -> None:
        message = f"stopped by {signal.Signals(number).name}: what was half written is removed; run the command again\n"
        with suppress(OSError):
            os.write(2, message.encode())
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)
