"""Reading sessions, also from older files without the newest columns."""

import json
from collections.abc import Iterable
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from esprobe.records import SessionRecord
from esprobe.store.database import parsed, scalars


class TaskFile(NamedTuple):
    """Where a task was loaded from that no package provides.

    Attributes:
        location: ``FILE.py:NAME``, absolute, of the last session.
        digests: of the sources of scorers in all sessions: of that file, unless another scorer replaced the verdicts.
    """

    location: str
    digests: frozenset[str]


_BEFORE_M004 = {
    "engine": "json_remove(engine, '$.shard')",
    "versions": "json_remove(versions, '$.rescored')",
    "shard": "json_extract(engine, '$.shard')",
    "rescored": "json_extract(versions, '$.rescored')",
}
"""SQL for four columns in files without migration m004, where ``shard`` and ``rescored`` were JSON keys of others."""

ADDED = (*_BEFORE_M004, "scorer_digest", "task_file")
"""The columns that migrations have changed or added; older files have them in another form, or not at all."""


def session_column(connection: Connection, name: str) -> str:
    """The SQL expression for one of the columns of ``ADDED``, in a file of any schema."""
    names = scalars(connection, "SELECT name FROM pragma_table_info('session')")
    if name in _BEFORE_M004:
        return f"session.{name}" if "shard" in names else _BEFORE_M004[name]
    return f"session.{name}" if name in names else "NULL"


def read_sessions(connection: Connection, path: Path, condition_id: int | None) -> list[SessionRecord]:
    """Every session, oldest first; with ``condition_id`` only those that planned rollouts of that condition."""
    where = "" if condition_id is None else "WHERE session.id IN (SELECT session_id FROM work WHERE condition_id = ?)"
    rows = connection.execute(
        f"{_query(connection)} {where} ORDER BY session.id", () if condition_id is None else (condition_id,)
    )
    return [_session(path, row) for row in rows]


def read_last_session(connection: Connection, path: Path) -> SessionRecord | None:
    """The session that began last; None if there is none."""
    row = connection.execute(f"{_query(connection)} ORDER BY session.id DESC LIMIT 1").fetchone()
    return None if row is None else _session(path, row)


def read_task_files(connection: Connection) -> dict[str, TaskFile]:
    """The files that tasks were loaded from, by the name of the task."""
    if session_column(connection, "task_file") == "NULL":
        return {}
    rows = connection.execute(
        "SELECT json_extract(identity, '$.task'), task_file, scorer_digest FROM session JOIN work "
        "ON session_id = session.id JOIN condition ON condition.id = condition_id WHERE task_file IS NOT NULL "
        "ORDER BY session.id"
    )
    found: dict[str, TaskFile] = {}
    for task, location, digest in rows:
        before = found[task].digests if task in found else frozenset[str]()
        found[task] = TaskFile(location, before | ({digest} if digest else set()))
    return found


def _query(connection: Connection) -> str:
    split = ", ".join(session_column(connection, name) for name in ADDED)
    return (
        "SELECT session.id, command, scorer.name, started_utc, ended_utc, outcome, host, pid, rollouts, tokens, "
        f"hardware, {split} FROM session JOIN scorer ON scorer.id = scorer_id"
    )


def _session(path: Path, row: Iterable[Any]) -> SessionRecord:
    id_, command, scorer, started, ended, outcome, host, pid, rollouts, tokens, hardware, engine, versions, *rest = row
    with parsed(path, f"session {id_}"):
        shard, rescored, scorer_digest, task_file = rest
        return SessionRecord(
            id=id_,
            command=command,
            scorer=scorer,
            started_utc=started,
            ended_utc=ended,
            outcome=outcome,
            host=host,
            pid=pid,
            rollouts=rollouts,
            tokens=tokens,
            engine=json.loads(engine),
            versions=json.loads(versions),
            hardware=json.loads(hardware),
            shard=shard,
            rescored=rescored,
            scorer_digest=scorer_digest,
            task_file=task_file,
        )
