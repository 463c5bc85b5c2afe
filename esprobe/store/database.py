"""Opening one SQLite file, and translating SQLite's errors into messages.

Owns pragmas, transactions and the checks that a file is an esprobe database that this version can read. Does
not know what the tables mean.
"""

import os
import shlex
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal

from esprobe.errors import DatabaseLostError, DataError, StoreBusyError, StoreError
from esprobe.paths import kind_of
from esprobe.store import migrations
from esprobe.store.file_system import network_file_system
from esprobe.store.layout import PAGE_BYTES
from esprobe.store.lock import writer_of
from esprobe.store.place import Place
from esprobe.store.rescue import empty_log, rescue
from esprobe.store.wal import why_foreign

APPLICATION_ID = 0x65737062  # "espb", so that file(1) and esprobe recognise the database
BUSY_TIMEOUT_S = 10.0

LOG_BYTES = 8 << 20
"""Size of the write-ahead log at which it is written into the database. SQLite's own limit is 1,000 pages: 33 MB of the
page size of new databases, which a reader would have to look through and a full disk would have to hold."""

_SMALL = ("condition", "problem", "scorer", "session", "work")
"""Small tables, which are checked (PRAGMA quick_check) whenever a file is opened; this takes milliseconds."""

Mode = Literal["read", "write", "untouched"]
"""Mode "untouched" reads without changing a byte: it does not even checkpoint a write-ahead log."""


class Database:
    """Connections to one file; each transaction has its own, so that a reader can run a query inside another's loop.

    After every commit a writer checks that the database is still the file at its path: a file that was deleted, moved
    or replaced would take everything that follows with it.
    """

    def __init__(self, path: Path, mode: Mode) -> None:
        self._path = path
        self._mode = mode
        self._idle: list[Connection] = []
        self._open = 0
        self._closed = False
        self._place: Place | None = None  # once something was committed
        self._is_lost = False

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction: committed at the end of the block, rolled back if the block raises.

        Python's sqlite3 begins no transaction for reads, and without one a reader would see several states of the file.

        Raises:
            DatabaseLostError: after the commit, or an error of SQLite: the database is no longer the file at its path.
        """
        connection = self._idle.pop() if self._idle else self._connected()
        try:
            connection.execute("BEGIN IMMEDIATE" if self._mode == "write" else "BEGIN")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:  # SQLite itself rolls back after some errors
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            self._check_place(connection)
        except sqlite3.DatabaseError:
            if self._place is not None:  # what was cut off or replaced meanwhile reads as damage
                self._check_place(connection)
            raise
        finally:
            if self._closed or connection.in_transaction:  # the rollback failed: do not reuse this connection
                self._close(connection)
            else:
                self._idle.append(connection)

    def write_ahead(self) -> None:
        """Switch to write-ahead logging, so that readers and the writer do not block each other."""
        connection = self._idle.pop() if self._idle else self._connected()
        self._idle.append(connection)
        connection.execute("PRAGMA journal_mode = WAL")  # not possible inside a transaction

    def close(self) -> None:
        """Close all connections; one that is in use closes when its transaction ends.

        Raises:
            DatabaseLostError: what was written is not in the file at the database's path.
        """
        try:
            if self._idle:
                self._check_place(self._idle[-1])
        finally:
            self._closed = True
            if self._is_lost and self._idle:
                empty_log(self._idle[-1])
            while self._idle:
                self._close(self._idle.pop())
            if self._is_lost and self._place is not None and not self._open:
                self._place.remove_companions()
        if self._place is not None and not self._is_lost and not self._open:
            self._refuse_elsewhere(closed=True)

    def _connected(self) -> Connection:
        if self._place is not None and not self._is_lost:
            self._refuse_elsewhere()  # SQLite would make a new file there
        connection = _connect(self._path, self._mode, new=self._place is None)
        if self._place is not None and not self._open:
            self._place.forget_companions()  # SQLite removes them with its last connection and makes new ones
        self._open += 1
        return connection

    def _close(self, connection: Connection) -> None:
        connection.close()
        self._open -= 1

    def _check_place(self, connection: Connection) -> None:
        if self._mode != "write" or self._is_lost:
            return
        if self._place is None:
            self._place = Place(self._path)
        self._place.record_new()
        if (trouble := self._place.trouble()) is not None:
            self._is_lost = True
            raise DatabaseLostError(rescue(connection, self._place, trouble))

    def _refuse_elsewhere(self, *, closed: bool = False) -> None:
        assert self._place is not None
        if (trouble := self._place.trouble(closed=closed)) is not None:
            self._is_lost = True
            raise DatabaseLostError(
                f"{self._path} {trouble} while esprobe wrote to it, and no connection to it is left with which its "
                f"content could be saved; look for it elsewhere, or restore a backup"
            )


def open_database(path: Path, mode: Mode) -> Database:
    """The database at ``path``; "write" creates a missing file and migrates an old one.

    Raises:
        StoreError: the file does not exist (read), is not an esprobe database, was written by a newer esprobe, is not
            readable or writable, or is on a network file system (write).
    """
    check_path(path, mode)
    _refuse_foreign_log(path, mode)
    database = Database(path, mode)
    try:
        with translated(path):
            with database.transaction() as connection:
                _check_identity(connection, path, mode)
            if mode == "write":
                database.write_ahead()  # only now: a database of another program must stay unchanged
                with database.transaction() as connection:
                    migrations.migrate(connection)
                    if scalar(connection, "PRAGMA application_id") != APPLICATION_ID:
                        # Only then: it would write a page, for which a full disk may have no room.
                        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except BaseException:
        database.close()
        raise
    return database


def scalar(connection: Connection, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
    """The first column of a query's first row; None without a row."""
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]


def scalars(connection: Connection, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
    """The first column of a query's rows."""
    return [row[0] for row in connection.execute(query, values)]


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a StoreError whose message says what to do.

    Raises:
        StoreError: in place of every SQLite error except a violated constraint, which the caller handles.
    """
    try:
        yield
    except UnicodeDecodeError as err:
        raise StoreError(damaged(path, f"a text is not UTF-8: {err.reason}")) from err
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as err:
        code = getattr(err, "sqlite_errorcode", 0) & 0xFF
        kind = StoreBusyError if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else StoreError
        raise kind(_message(path, err)) from err


def cause_of(error: StoreError) -> Literal["full disk", "SQLite"] | None:
    """What ``translated`` made an error of; None if it was made of no error of SQLite's."""
    if not isinstance(error.__cause__, sqlite3.Error):
        return None
    return "full disk" if getattr(error.__cause__, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL else "SQLite"


def _message(path: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, below the extended one
    match code:
        case sqlite3.SQLITE_NOTADB:
            return _no_database(path)
        case sqlite3.SQLITE_ERROR if "unsupported file format" in str(error):
            return _no_database(path)
        case sqlite3.SQLITE_FULL:
            return (
                f"the disk under {path} is full; everything committed so far is safe. Free some space and run "
                f"the same command again to go on"
            )
        case sqlite3.SQLITE_READONLY:
            return f"{path} is read-only, so no rollout can be stored; make it writable or name another with --db"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return (
                f"{path} has been locked by another program for {BUSY_TIMEOUT_S:g} s, so it cannot be written; "
                f"close what holds it (an open transaction in sqlite3 or a browser?) and run the same command again"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_MISMATCH:
            return damaged(path, str(error))
        case sqlite3.SQLITE_IOERR:
            return f"reading or writing {path} failed ({error}); check the disk, then run the same command again"
        case sqlite3.SQLITE_CANTOPEN:
            return f"{path} cannot be opened ({error}); check that its folder exists and can be written"
    return f"SQLite could not use {path}: {error}"


def _no_database(path: Path) -> str:
    """The message for a file without SQLite's header, which may be that of another program or damaged."""
    return (
        f"{path} is not an SQLite database, so it was left untouched; name another file, or if esprobe wrote it "
        f"and its beginning is damaged, salvage what is whole with: {_salvage(path)}"
    )


def _salvage(path: Path) -> str:
    return f"esprobe salvage {shlex.quote(str(path))} --into salvaged.db"


def damaged(path: Path, reason: str) -> str:
    """The message for a file whose content has changed since it was written."""
    return (
        f"{path} is damaged ({reason}), so no figure from it can be trusted; restore a copy, or salvage what is whole "
        f"with: {_salvage(path)}"
    )


@contextmanager
def parsed(path: Path, what: str) -> Iterator[None]:
    """Wraps the parsing of JSON that esprobe wrote: an error means that the file is damaged."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise StoreError(damaged(path, f"{what} cannot be read: {err}")) from err


@contextmanager
def stored_problems(path: Path) -> Iterator[None]:
    """Wraps a task's work on stored problems: a problem that the task rejects means that the file is damaged.

    Raises:
        StoreError: in place of a task's DataError.
    """
    try:
        yield
    except DataError as err:
        raise StoreError(damaged(path, str(err))) from err


def check_path(path: Path, mode: Mode) -> None:
    """Refuse a path that cannot be a database, before opening it.

    Raises:
        StoreError: the path cannot be used; the message says why.
    """
    kind = kind_of(path)
    there = kind != "nothing"
    if kind == "folder":
        raise StoreError(f"{path} is a folder, and a database is one file; name a file with --db")
    if kind == "other":
        raise StoreError(f"{path} is a device or a pipe, and a database is a regular file; name one with --db")
    if mode != "write":
        if not there:
            raise StoreError(
                f"there is no database at {path}, so there is nothing to read; name one with --db, or make one with: "
                f"esprobe sample-temp --db {path}"
            )
        if not os.access(path, os.R_OK):
            raise StoreError(f"{path} cannot be read (no permission); chmod it or name another with --db")
        return
    if kind_of(path.parent) != "folder":
        raise StoreError(f"the folder {path.parent} does not exist, so {path.name} cannot be made; create it first")
    if there and not os.access(path, os.W_OK):
        raise StoreError(
            f"{path} is read-only, so no rollout can be stored; make it writable or name another with --db"
        )
    network = network_file_system(path)
    if network is not None:
        raise StoreError(
            f"{path} is on a network file system ({network}), where SQLite's write-ahead log loses data; put the "
            f"database on a local disk with --db and copy it when the run has ended"
        )


def _refuse_foreign_log(path: Path, mode: Mode) -> None:
    """Refuse a write-ahead log that a kill left beside another file: SQLite would mix its pages into this one."""
    real = Path(os.path.realpath(path))
    if not real.exists() or _is_settled(real):
        return
    if mode != "write" and writer_of(path) is not None:
        return  # both files grow while they are looked at
    try:
        reason = why_foreign(real)
    except OSError as err:
        raise StoreError(f"{path} cannot be read ({err.strerror}); check its permissions and the disk") from err
    if reason is not None:
        log = f"{real.name}-wal"
        raise StoreError(
            f"the write-ahead log {log} beside {path} is not that of this file ({reason}), and SQLite would mix them. "
            f"If {real.name} is a copy or a backup that was put there, move the log away (mv {log} {log}.old, and "
            f"remove {real.name}-shm); if not, put the database back that the log belongs to"
        )


def _connect(path: Path, mode: Mode, *, new: bool = True) -> Connection:
    """A connection; ``new``: a writer creates the file if there is none."""
    path = Path(os.path.realpath(path))  # the write-ahead log is beside the file, not beside a link to it
    uri = path.as_uri()
    writable = os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)
    writable = writable and network_file_system(path) is None
    if mode == "read":
        # A reader with write permission opens the file read-write, so that SQLite checkpoints and removes a write-ahead
        # log that a killed process left behind. query_only, below, prevents any other change.
        uri += "?mode=rw" if writable else "?immutable=1" if _is_settled(path) else "?mode=ro"
    elif mode == "untouched":
        # If there is a write-ahead log, a read-only connection reads it and leaves it as it is.
        uri += "?mode=ro" if not _is_settled(path) else "?mode=rw" if writable else "?immutable=1"
    elif not new:
        uri += "?mode=rw"
    # isolation_level=None: only Database.transaction begins transactions.
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        if mode == "write":
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a file without pages; others keep theirs
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // scalar(connection, 'PRAGMA page_size')}")
        else:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _is_settled(path: Path) -> bool:
    """Whether the database has no write-ahead log, so that ``immutable=1`` may be used where we cannot write.

    SQLite has to create files beside a WAL database even to read it. In a folder where it cannot, ``immutable=1`` makes
    it read without them, which is correct only while no process writes.
    """
    wal = path.with_name(path.name + "-wal")
    return not wal.exists() or wal.stat().st_size == 0


def _check_identity(connection: Connection, path: Path, mode: Mode) -> None:
    names = migrations.applied(connection)
    page = scalar(connection, "PRAGMA page_size")
    if os.stat(path).st_size % page and _is_settled(Path(os.path.realpath(path))):
        raise StoreError(damaged(path, "its last page is cut off"))  # SQLite would read the missing bytes as zeros
    owner = scalar(connection, "PRAGMA application_id")
    newer = [name for name in names if name not in migrations.MIGRATIONS]
    if newer and owner == APPLICATION_ID:
        raise StoreError(
            f"{path} was written by a newer esprobe (it has migration {newer[-1]}, which this version lacks), so this "
            f"version could misread it; update it: git pull in the checkout of esprobe, then pip install ."
        )
    if not names and owner == APPLICATION_ID:  # set in the transaction that made the tables
        raise StoreError(damaged(path, "its list of tables is lost"))
    if newer or not names:
        if scalar(connection, "SELECT count(*) FROM sqlite_schema"):
            raise StoreError(f"{path} is an SQLite database, but not one of esprobe's; name another file")
        if mode != "write":
            raise StoreError(f"{path} is empty: nothing has been sampled into it; name another file")
        return
    for table in _SMALL:
        result = scalar(connection, f"PRAGMA quick_check({table})")
        if result != "ok":
            raise StoreError(damaged(path, f"{table}: {result}"))
