"""One writer per database: a lock that dies with its process.

The lock is the kernel's (flock) on ``<database>.lock``, a file of its own: opening and closing the database file
a second time in one process would drop SQLite's own locks. The lock file stays behind when the lock is
released; it is empty of meaning then, and removing it would let two processes lock two different files of one
name.
"""

import json
import os
import socket
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from esprobe.errors import StoreError, StoreLockedError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where databases can be read
    fcntl = None

_HELD: "weakref.WeakSet[WriterLock]" = weakref.WeakSet()


class WriterLock:
    """Holds the right to write to one database until it is closed or the process ends, however it ends.

    Raises:
        StoreLockedError: another process holds it; the message names its host and process id.
        StoreError: the lock file cannot be made, or the database has a second name that another lock would guard.
    """

    def __init__(self, database: Path) -> None:
        if fcntl is None:
            raise StoreError(
                f"{database} cannot be written here: esprobe samples and changes databases on Linux and macOS only, "
                f"whose file locks keep two writers apart; copy a database here to read it, or use WSL"
            )
        real = os.path.realpath(database)  # two links to one database are one database
        if os.path.exists(real) and (names := os.stat(real).st_nlink) > 1:
            raise StoreError(
                f"{database} is one of {names} names of one file (hard links), and SQLite keeps a write-ahead log for "
                f"each name, so that writers could destroy it; copy it with cp, and name the copy with --db"
            )
        path = Path(real + ".lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as err:
            raise StoreError(
                f"{database} cannot be written: its lock {path.name} cannot be made beside it ({err.strerror}); "
                f"choose a database in a writable folder with --db"
            ) from err
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _describe(os.pread(self._fd, 4096, 0))
            os.close(self._fd)
            raise StoreLockedError(
                f"{database} is being written by {holder}; a second writer would draw the same rollouts twice. "
                f"Wait for it, or give this run a database of its own with --db"
            ) from None
        holder_json = json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "since_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        # The lock holds without the name; that the disk is full, SQLite will say.
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, holder_json.encode(), 0)
        self._pid = os.getpid()
        _HELD.add(self)

    def close(self) -> None:
        """Release the lock."""
        if self._fd >= 0:
            if os.getpid() == self._pid:  # a forked child only lets go of its copy
                with suppress(OSError):
                    os.ftruncate(self._fd, 0)  # nobody's any more: ``writer_of`` reads it
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def writer_of(database: Path) -> str | None:
    """Who took the lock last and may hold it still; None if nobody can.

    The lock itself is left alone: whoever tried it would turn away a writer that starts in that moment. So a process
    of this machine counts while it lives, and one of another machine, which cannot be asked, always.
    """
    try:
        holder = Path(os.path.realpath(database) + ".lock").read_bytes()
        values = json.loads(holder)
        if values["host"] == socket.gethostname() and is_running(values["pid"]) is False:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _describe(holder)


def is_running(pid: int) -> bool | None:
    """Whether a process of this machine exists; None where that cannot be asked without touching it (Windows)."""
    if os.name != "posix":
        return None  # signal 0 is Ctrl-C there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process, which exists
    return True


def _let_go_in_child() -> None:
    # A forked child (an engine's worker) shares the kernel's lock, and would keep it if its parent were killed.
    for lock in list(_HELD):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def _describe(holder: bytes) -> str:
    try:
        values = json.loads(holder)
        return f"process {values['pid']} on {values['host']} (since {values['since_utc']})"
    except (ValueError, KeyError, TypeError):
        # The other process has the lock but has not written its name yet.
        return "another process"
