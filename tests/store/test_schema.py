"""The schema: two descriptions of one thing, and what SQLite itself refuses."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlmodel import SQLModel

from esprobe.store import RolloutWriter
from esprobe.store import schema as _schema  # noqa: F401 - fills SQLModel's metadata
from tests.store.material import fill

TABLES = (
    *("migration", "condition", "problem", "scorer", "session", "work", "completion", "rollout", "totals"),
    *("training", "iteration", "guessing", "model_name", "given_up"),
)


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = fill(tmp_path / "migrated.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()


@pytest.fixture
def declared(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "declared.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    SQLModel.metadata.create_all(engine)
    engine.dispose()
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def tables(connection: sqlite3.Connection) -> dict[str, tuple[object, ...]]:
    """(columns, WITHOUT ROWID, STRICT) by table; the file's own tables left out."""
    rows = connection.execute("PRAGMA main.table_list")
    return {row[1]: row[3:] for row in rows if row[2] == "table" and not row[1].startswith("sqlite_")}


def shape(connection: sqlite3.Connection, table: str) -> dict[str, object]:
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    indexes = connection.execute(f"PRAGMA index_list({table})").fetchall()
    return {
        "columns": connection.execute(f"PRAGMA table_info({table})").fetchall(),
        "references": {row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({table})")},
        "indexes": {
            (unique, origin, tuple(connection.execute(f"SELECT name FROM pragma_index_info('{name}')")))
            for _, name, unique, origin, _ in indexes
        },
        "checks": re.findall(r"CHECK \((.*?\))\)", sql),
    }


def test_models_and_migrations_describe_the_same_tables(
    migrated: sqlite3.Connection, declared: sqlite3.Connection
) -> None:
    assert tables(migrated) == tables(declared)
    assert set(tables(migrated)) == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_models_and_migrations_describe_the_same_columns(
    migrated: sqlite3.Connection, declared: sqlite3.Connection, table: str
) -> None:
    assert shape(migrated, table) == shape(declared, table)


def test_every_table_is_strict_and_the_wide_keys_have_no_rowid(migrated: sqlite3.Connection) -> None:
    assert {name: flags[1:] for name, flags in tables(migrated).items()} == {
        name: (int(name in ("work", "rollout", "iteration")), 1) for name in TABLES
    }


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE rollout SET token_count = 'many'", "cannot store TEXT value in INTEGER column rollout.token_count"),
        ("UPDATE rollout SET reward = 'high'", "cannot store TEXT value in REAL column rollout.reward"),
        ("UPDATE rollout SET correct = 2", "CHECK constraint failed"),
        ("UPDATE rollout SET reward = NULL", "NOT NULL constraint failed"),
        ("UPDATE rollout SET completion_id = 999", "FOREIGN KEY constraint failed"),
        ("UPDATE rollout SET condition_id = 999", "FOREIGN KEY constraint failed"),
        ("UPDATE problem SET checksum = 'many'", "cannot store TEXT value in INTEGER column problem.checksum"),
        ("DELETE FROM problem", "FOREIGN KEY constraint failed"),
        ("INSERT INTO condition SELECT 9, kind, 1, 1, model, identity, digest FROM condition", "UNIQUE constraint"),
        ("INSERT INTO rollout SELECT * FROM rollout", "UNIQUE constraint failed"),
    ],
)
def test_sqlite_refuses_what_is_no_rollout(migrated: sqlite3.Connection, statement: str, reason: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=re.escape(reason)):
        migrated.execute(statement)


def test_the_view_joins_rollouts_with_what_they_are_of(migrated: sqlite3.Connection) -> None:
    migrated.row_factory = sqlite3.Row
    # A second text and another seed's key apart from the row's id: a wrong join would show.
    migrated.execute("INSERT INTO completion (id, text) VALUES (1000, 'another text')")
    migrated.execute("UPDATE rollout SET completion_id = 1000 WHERE seed = 43 AND problem_id = 8")
    (row,) = migrated.execute("SELECT * FROM rollouts WHERE seed = 43 AND problem = 7").fetchall()
    assert dict(row) == {
        "condition": 1,
        "kind": "temperature",
        "temperature": 0.8,
        "sigma": None,
        "model": "a-model",
        "task": "countdown",
        "problem": 7,
        "seed": 43,
        "completion": "another text",
        "reward": 0.1,
        "correct": 0,
        "answer": None,
        "failure": "no answer",
        "token_count": 3,
        "finish_reason": "stop",
        "session": 1,
    }
    assert migrated.execute("SELECT count(*) FROM rollouts").fetchone()[0] == 40


def test_a_writer_has_write_ahead_log_normal_sync_and_foreign_keys(tmp_path: Path) -> None:
    with RolloutWriter.open(tmp_path / "e.db") as writer, writer.reading() as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "query_only")
        }
        assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "query_only": 0}


def test_a_closed_database_is_one_file_and_its_lock(tmp_path: Path) -> None:
    fill(tmp_path / "e.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.db", "e.db.lock"]
