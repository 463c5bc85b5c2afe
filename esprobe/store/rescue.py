"""Saves what an open database holds after its file was deleted, moved or replaced.

The open connection still reaches the old file, which the operating system keeps until it is closed.
"""

import os
import shlex
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection

from esprobe.store.place import Place


def rescue(connection: Connection, place: Place, trouble: str) -> str:
    """Bring everything that was committed into a file that has a name; returns the error message for a person.

    Args:
        connection: open, outside a transaction.
        place: where the database was.
        trouble: what has happened to it, from ``Place.trouble``.
    """
    lost = f"{place.path} {trouble} while esprobe wrote to it"
    whole = empty_log(connection)
    if place.is_cut_off:
        where = shlex.quote(str(place.path))
        return f"{lost}; salvage what is whole with: esprobe salvage {where} --into salvaged.db, and resume into that"
    moved = place.moved_to()
    if moved is not None and whole:
        if place.is_in_place():
            return f"{lost}. Everything committed so far has been written into {place.path}; run the same command again"
        return f"{lost}. It is {moved} now and holds everything committed so far; continue with --db, or move it back"
    name = f"{place.path.stem}.rescued-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}{place.path.suffix}"
    failures = []
    for folder in _folders(place.real.parent):
        try:
            _copy(connection, folder / name)
        except (OSError, sqlite3.Error) as err:
            failures.append(f"{folder}: {err}")
        else:
            return (
                f"{lost}. Everything committed so far was saved as {folder / name}; find out what removes files there "
                f"(a cleaner of scratch folders?), move the saved file to a safe place and go on with it instead"
            )
    return (
        f"{lost}, and what was committed could not be saved ({'; '.join(failures) or 'no folder can be written'}); "
        f"restore a backup, or sample again into a safe place with --db"
    )


def empty_log(connection: Connection) -> bool:
    """Write the whole write-ahead log into the database, as far as that is possible; whether it was.

    Also where the database has no name any more: its log may still have one, and SQLite would take it for that of
    another database that is put in the old one's place.
    """
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    return not busy


def _folders(first: Path) -> Iterator[Path]:
    for folder in dict.fromkeys((first, Path.cwd() if _has_cwd() else first, Path(tempfile.gettempdir()))):
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            yield folder


def _has_cwd() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _copy(connection: Connection, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        with closing(sqlite3.connect(target)) as copy:
            connection.backup(copy)
        with open(target, "rb") as written:
            os.fsync(written.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
