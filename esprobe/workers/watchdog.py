"""Ends a process whose engine hangs: a stuck GPU kernel or a deadlock cannot be interrupted from Python."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STUCK_EXIT_CODE = 4
"""Exit code of a process that was ended because its engine was stuck; everything committed is stored."""

_TICK_S = 1.0


class Watchdog:
    """A thread that ends this process when watched code makes no progress for too long.

    Time is counted in ticks of this thread, so that a suspended process (Ctrl-Z) does not look stuck when it continues.
    """

    def __init__(self) -> None:
        self._limit_s = 0.0
        self._what = ""
        self._silent_s = 0.0
        self._active = False
        self._thread: threading.Thread | None = None

    def progress(self) -> None:
        """Reset the time: the watched code has made progress."""
        self._silent_s = 0.0

    @contextmanager
    def watching(self, what: str, limit_s: float) -> Iterator[None]:
        """Watch the body: unless it calls ``progress`` or ends within ``limit_s``, this process ends.

        Args:
            what: what is reported as stuck, for people.
            limit_s: seconds without progress.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="esprobe-watchdog", daemon=True)
            self._thread.start()
        self._what, self._limit_s = what, limit_s
        self._silent_s, self._active = 0.0, True
        try:
            yield
        finally:
            self._active = False

    def _watch(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(_TICK_S)
            now = time.monotonic()
            tick, before = min(now - before, 2 * _TICK_S), now
            if self._active:
                self._silent_s += tick
                if self._silent_s > self._limit_s:
                    self._end_process()

    def _end_process(self) -> None:
        # The main thread may hang in native code, where no exception reaches it; committed rollouts are safe.
        message = (
            f"error: {self._what} is stuck: it has made no progress for {self._limit_s:g} s, so this process ends "
            f"(exit code {STUCK_EXIT_CODE}); everything stored so far is safe. Run the same command again to resume\n"
        )
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, message.encode(errors="backslashreplace"))
        os._exit(STUCK_EXIT_CODE)
