"""Whether an open database is still the file at its path.

A file that was deleted, moved or replaced can be written to for hours, and nothing of it would be found afterwards.
Owns that question and the words for it. Does not know what to do about it.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

_COMPANIONS = ("-wal", "-shm")
"""What SQLite keeps beside an open database in write-ahead mode: the log, and the index of the log."""


class Place:
    """The files of one open database, as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.real = Path(os.path.realpath(path))
        # Not relative to a working folder that may be moved: another command would look at the old place.
        self._absolute = Path(os.path.abspath(path))
        self._folder_device = _device(self.real.parent)
        self._files: dict[str, tuple[int, int]] = {}
        self._size = 0
        self.is_cut_off = False

    def record_new(self) -> None:
        """Remember the files that are there and not known yet; SQLite makes each when it first needs it."""
        for suffix in ("", *_COMPANIONS):
            if suffix not in self._files:
                with suppress(FileNotFoundError):
                    self._files[suffix] = _identity(self._at(suffix))

    def forget_companions(self) -> None:
        """SQLite has removed the files beside the database, or is about to."""
        for suffix in _COMPANIONS:
            self._files.pop(suffix, None)

    def trouble(self, *, closed: bool = False) -> str | None:
        """What has happened to the files, as the end of a sentence that begins with the database's path.

        Args:
            closed: the database has been closed, which removes the files beside it.
        """
        for suffix in ("", *_COMPANIONS):
            if suffix and (closed or suffix not in self._files):
                continue
            path = self._at(suffix)
            of = f" (its file {path.name})" if suffix else ""
            try:
                found = os.stat(path)
            except FileNotFoundError:
                return self._gone() or f"was deleted or moved{of}"
            except OSError as err:
                return f"can no longer be reached{of}: {err.strerror}"
            if (found.st_dev, found.st_ino) != self._files.get(suffix):
                return f"was replaced by another file{of}"
            if not suffix:
                if found.st_size < self._size:  # a database of esprobe's never shrinks
                    self.is_cut_off = True
                    return f"was cut off from {self._size:,} to {found.st_size:,} bytes"
                self._size = found.st_size
        return None

    def _gone(self) -> str | None:
        """What has happened to the folder of a file that is no longer there; None if nothing has."""
        for folder in dict.fromkeys((self._absolute.parent, self.real.parent)):
            if not folder.is_dir():
                return f"is gone: its folder {folder} was deleted, moved or unmounted"
        # Compared with the folder's, not with the file's, which may have another one than its folder (overlayfs).
        if _device(self.real.parent) != self._folder_device:
            return f"is gone: its file system is no longer mounted at {self.real.parent}"
        return None

    def remove_companions(self) -> None:
        """Remove the files beside a database that is no longer there, if they are its own and hold nothing.

        SQLite leaves them. Call this after the last connection is closed and before the writer's lock is released: a
        new database at the path would take them for its own.
        """
        if self.real.exists():
            return
        log = self._at("-wal")
        if not (_is(log, self._files.get("-wal")) and log.stat().st_size == 0):
            return
        for suffix in _COMPANIONS:
            if _is(self._at(suffix), self._files.get(suffix)):
                self._at(suffix).unlink(missing_ok=True)

    def is_in_place(self) -> bool:
        """Whether the path still leads to the database, whatever has happened to the files beside it."""
        return _is(self._absolute, self._files.get(""))

    def moved_to(self) -> Path | None:
        """Where the database is now, if this process can tell (Linux) and it still has a name."""
        descriptors = Path("/proc/self/fd")
        with suppress(OSError):
            for link in descriptors.iterdir():
                with suppress(OSError):  # a descriptor that was closed meanwhile
                    found = link.stat()
                    if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) == self._files.get(""):
                        target = Path(os.readlink(link))
                        return target if found.st_nlink and _is(target, self._files.get("")) else None
        return None

    def _at(self, suffix: str) -> Path:
        """A link is followed at each look: what counts is the file that the path leads to."""
        return self.real.with_name(self.real.name + suffix) if suffix else self._absolute


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _device(folder: Path) -> int | None:
    """The device of a folder; None if it is not there."""
    try:
        return os.stat(folder).st_dev
    except OSError:
        return None


def _is(path: Path, identity: tuple[int, int] | None) -> bool:
    try:
        return _identity(path) == identity
    except OSError:
        return False
