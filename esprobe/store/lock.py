"""One writer per database: a lock that the kernel releases when its process ends.

It is a flock on a separate file, ``<database>.lock``, because opening and closing the database file a second time in
one process would drop SQLite's own locks. The lock file remains after the lock is released: if it were removed, two
processes could lock two different files of the same name.
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
except ImportError:  # Windows, where databases can only be read
    fcntl = None

_HELD: "weakref.WeakSet[WriterLock]" = weakref.WeakSet()


class WriterLock:
    """An exclusive lock on writing to one database, held until ``close`` or until the process ends in any way.

    Raises:
        StoreLockedError: another process holds the lock; the message contains its host and process id.
        StoreError: the lock file cannot be created, or the database has hard links, whose lock files would differ.
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
                f"{database} cannot be written: its lock file {path.name} cannot be created ({err.strerror}); "
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
        # The holder's name is only informative; if the disk is full, SQLite will report it.
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, holder_json.encode(), 0)
        self._pid = os.getpid()
        _HELD.add(self)

    def close(self) -> None:
        """Release the lock."""
        if self._fd >= 0:
            if os.getpid() == self._pid:  # a forked child only closes its copy of the descriptor
                with suppress(OSError):
                    os.ftruncate(self._fd, 0)  # so that ``writer_of`` reports no writer
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def writer_of(database: Path) -> str | None:
    """A description of the process that took the lock last; None if it certainly no longer holds it.

    This does not try the lock, because a writer that starts at that moment would then fail. A process of this machine
    is reported while it runs; a process of another machine, which cannot be checked, is always reported.
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
    """Whether a process of this machine exists; None where checking would affect the process (Windows)."""
    if os.name != "posix":
        return None  # signal 0 is Ctrl-C there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process, which exists
    return True


def _release_in_child() -> None:
    # A forked child (an engine's worker) inherits the lock, and would still hold it if its parent were killed.
    for lock in list(_HELD):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


def _describe(holder: bytes) -> str:
    try:
        values = json.loads(holder)
        return f"process {values['pid']} on {values['host']} (since {values['since_utc']})"
    except (ValueError, KeyError, TypeError):
        # The other process has the lock but has not yet written who it is.
        return "another process"
