"""A consistent copy of a database, also while a sampler writes to it."""

import os
import shlex
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from esprobe.atomic_file import replacing
from esprobe.errors import StoreError, UsageError
from esprobe.paths import check_output, kind_of
from esprobe.store.database import open_database
from esprobe.store.reader import RolloutStore
from esprobe.store.soundness import check_content
from esprobe.store.training import training_runs

_MAGIC = b"SQLite format 3\0"
"""The first bytes of every SQLite database."""
_WRITING = {
    getattr(sqlite3, f"SQLITE_{name}")
    for name in ("FULL", "READONLY", "CANTOPEN", "IOERR_WRITE", "IOERR_FSYNC", "IOERR_TRUNCATE")
}
"""SQLite's codes for a file that cannot be written."""


def back_up(database: Path, target: Path, overwrite: bool) -> int:
    """Copy one consistent state of ``database`` to ``target`` atomically; returns the size of the copy in bytes.

    The sampler does not wait: the copy is made in one read transaction, during which the write-ahead log grows.

    Everything in the copy is compared with what was recorded when it was written. A damaged database is copied
    nevertheless, for what is whole in it may soon be gone, but never over an older copy; either way the damage is
    raised.

    Raises:
        StoreError: the database cannot be read, or is damaged, or the copy cannot be written.
        UsageError: the target exists and ``overwrite`` is False, is not an older copy, or is the database itself.
    """
    target = check_output(target, "the copy", "name another place")
    with RolloutStore.open(database) as store:
        there = kind_of(target) != "nothing"
        if there and not overwrite:
            raise UsageError(f"{target} exists; name another file, or replace it with --overwrite")
        for suffix in ("", "-wal", "-shm", ".lock"):
            if target == Path(os.path.realpath(database) + suffix):
                raise UsageError(f"{target} belongs to the database, which a copy would destroy; name another file")
        if kind_of(target.with_name(target.name + "-wal")) != "nothing":
            raise UsageError(
                f"{target} is in use, or a killed process left it behind (it has a -wal file), so replacing it could "
                f"lose data; name another file"
            )
        if there and not _is_replaceable(target):
            raise UsageError(
                f"{target} is not an SQLite database, so it is not an older copy, and --overwrite would destroy it; "
                f"name another file, or remove this one first"
            )
        if there and not target.stat().st_mode & stat.S_IWUSR:
            raise UsageError(
                f"{target} is read-only, so somebody wants to keep it; name another file, or allow that it is replaced "
                f"with: chmod u+w {shlex.quote(str(target))}"
            )
        try:
            with replacing(target) as draft:
                with store.reading() as connection, _blaming(target, draft), closing(sqlite3.connect(draft)) as copy:
                    connection.backup(copy)
                damage = _damage(draft, database)
                if there and damage is not None:  # a damaged copy in place of a good one would be the end of both
                    raise StoreError(f"nothing was copied, and the older copy {target} was kept: {damage}")
                with open(draft, "rb") as written:
                    os.fsync(written.fileno())
        except OSError as err:
            raise StoreError(f"the copy cannot be written to {target} ({err.strerror}); name another place") from err
    if damage is not None:
        raise StoreError(f"the copy {target} was made, but keep older ones: {damage}")
    return target.stat().st_size


def _damage(draft: Path, database: Path) -> str | None:
    """Why no figure from a copy of ``database`` can be trusted; None if everything in it is as it was written.

    Not of the database itself, to which a sampler may have added in the meantime.
    """
    try:
        with RolloutStore(database, open_database(draft, "read")) as store:
            check_content(store)
            training_runs(store)
    except StoreError as err:
        return str(err).replace(str(draft), str(database))
    return None


@contextmanager
def _blaming(target: Path, draft: Path) -> Iterator[None]:
    """Around the copying: what can only be a failure to write is the target's, and all else the database's.

    Raises:
        StoreError: names the target.
    """
    try:
        yield
    except sqlite3.Error as err:
        code = getattr(err, "sqlite_errorcode", 0)
        if code not in _WRITING and draft.exists():
            raise
        reason = "the disk is full" if code == sqlite3.SQLITE_FULL else str(err) if draft.exists() else "it was deleted"
        raise StoreError(
            f"the copy cannot be written to {target} ({reason}); the database is unchanged. Free some space or name "
            f"another place"
        ) from err


def _is_replaceable(target: Path) -> bool:
    """Whether ``target`` may be overwritten: it is a database, or an empty file (mktemp)."""
    if kind_of(target) != "file":
        return False
    try:
        with open(target, "rb") as file:
            return file.read(len(_MAGIC)) in (b"", _MAGIC)
    except OSError as err:
        raise StoreError(
            f"{target} cannot be read ({err.strerror}), so it may be something else than an older copy; name another "
            f"file, or remove this one first"
        ) from err
