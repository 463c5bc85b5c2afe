"""Handles write errors on standard output (full disk, closed, broken pipe) for all commands."""

import codecs
import errno
import io
import sys
from typing import TYPE_CHECKING

from esprobe.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_BROKEN_PIPE = 128 + 13
"""Exit code of Unix tools that SIGPIPE ended (signal 13; Windows does not define its name)."""


def guard_standard_output() -> None:
    """From now on, report failed writes to standard output as ``OutputError``.

    A write to a pipe whose reader has exited (``esprobe show | head``) instead ends the process without a message, with
    the same exit code as other Unix tools.

    Raises:
        OutputError: standard output is closed.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed, so no result could be seen; send it to a file or to /dev/null")
    old = sys.stdout
    if isinstance(old, io.TextIOWrapper):
        raw = io.BufferedWriter(_Guarded(old.fileno(), "w", closefd=False))
        # Tables and texts may hold any character; one that the terminal's encoding lacks is printed as its escape.
        errors = old.errors if codecs.lookup(old.encoding).name == "utf-8" else "backslashreplace"
        sys.stdout = io.TextIOWrapper(raw, old.encoding, errors, line_buffering=old.line_buffering)


class _Guarded(io.FileIO):
    """The file behind standard output."""

    _failed = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self._failed:
            # Python flushes again at exit; do not report the same error twice.
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            if error.errno == errno.EPIPE:
                raise SystemExit(_BROKEN_PIPE) from None
            raise OutputError(
                f"standard output cannot be written ({error.strerror}), so the result is cut off; what is stored stays "
                f"stored. Make room or send it elsewhere, and run the same command again"
            ) from error
