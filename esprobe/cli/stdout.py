"""Standard output that can be full, closed, or left by its reader, for all commands at once."""

import errno
import io
import sys
from typing import TYPE_CHECKING

from esprobe.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_BROKEN_PIPE = 128 + 13
"""Exit code of Unix tools whose reader has gone: SIGPIPE, by its number because Windows has no such signal."""


def guard_standard_output() -> None:
    """From now on a failure to write standard output is told from a failure to write any other file.

    Raises:
        OutputError: it is closed. So will be every later write that fails, but for one to a pipe whose reader has gone
            (``esprobe show | head``): that ends the process without a word, with the exit code of other Unix tools.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed, so no result could be seen; send it to a file or to /dev/null")
    old = sys.stdout
    if isinstance(old, io.TextIOWrapper):
        raw = io.BufferedWriter(_Guarded(old.fileno(), "w", closefd=False))
        sys.stdout = io.TextIOWrapper(raw, old.encoding, old.errors, line_buffering=old.line_buffering)


class _Guarded(io.FileIO):
    """The file behind standard output."""

    _failed = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self._failed:
            # Python flushes once more at its end, and nobody needs to hear of it twice.
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
