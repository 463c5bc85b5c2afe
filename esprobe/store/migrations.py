"""The migrations that bring a database file to the newest schema, one numbered step at a time.

A released migration never changes: tests/data keeps a database of every released schema, which the tests open. Append
new migrations at the end.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from sqlite3 import Connection

_M001 = """
CREATE TABLE migration (
    name TEXT NOT NULL PRIMARY KEY,
    applied_utc TEXT NOT NULL
) STRICT;
CREATE TABLE condition (
    id INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    temperature REAL,
    sigma REAL,
    model TEXT NOT NULL,
    identity TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE problem (
    id INTEGER NOT NULL PRIMARY KEY,
    task TEXT NOT NULL,
    task_digest TEXT NOT NULL,
    problem_index INTEGER NOT NULL,
    problem_group TEXT NOT NULL,
    inputs TEXT NOT NULL,
    prompt TEXT NOT NULL,
    prompt_digest TEXT NOT NULL,
    UNIQUE (task_digest, problem_index)
) STRICT;
CREATE TABLE scorer (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE session (
    id INTEGER NOT NULL PRIMARY KEY,
    command TEXT NOT NULL,
    scorer_id INTEGER NOT NULL REFERENCES scorer (id),
    started_utc TEXT NOT NULL,
    updated_utc TEXT NOT NULL,
    ended_utc TEXT,
    outcome TEXT,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    rollouts INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    engine TEXT NOT NULL,
    versions TEXT NOT NULL,
    hardware TEXT NOT NULL
) STRICT;
CREATE TABLE work (
    session_id INTEGER NOT NULL REFERENCES session (id),
    condition_id INTEGER NOT NULL REFERENCES condition (id),
    first_index INTEGER NOT NULL,
    stop_index INTEGER NOT NULL,
    problems INTEGER NOT NULL,
    first_seed INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    rollouts INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    generate_s REAL NOT NULL,
    switch_s REAL NOT NULL,
    PRIMARY KEY (session_id, condition_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE completion (
    id INTEGER NOT NULL PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
CREATE TABLE rollout (
    condition_id INTEGER NOT NULL REFERENCES condition (id),
    seed INTEGER NOT NULL,
    problem_id INTEGER NOT NULL REFERENCES problem (id),
    reward REAL NOT NULL,
    correct INTEGER NOT NULL CHECK (correct IN (0, 1)),
    answer TEXT,
    failure TEXT,
    token_count INTEGER NOT NULL,
    finish_reason TEXT NOT NULL,
    session_id INTEGER NOT NULL REFERENCES session (id),
    completion_id INTEGER NOT NULL REFERENCES completion (id),
    PRIMARY KEY (condition_id, seed, problem_id)
) STRICT, WITHOUT ROWID;
CREATE VIEW rollouts AS
SELECT
    condition.id AS condition,
    condition.kind AS kind,
    condition.temperature AS temperature,
    condition.sigma AS sigma,
    condition.model AS model,
    problem.task AS task,
    problem.problem_index AS problem,
    rollout.seed AS seed,
    completion.text AS completion,
    rollout.reward AS reward,
    rollout.correct AS correct,
    rollout.answer AS answer,
    rollout.failure AS failure,
    rollout.token_count AS token_count,
    rollout.finish_reason AS finish_reason,
    rollout.session_id AS session
FROM rollout
JOIN condition ON condition.id = rollout.condition_id
JOIN problem ON problem.id = rollout.problem_id
JOIN completion ON completion.id = rollout.completion_id;
"""


def _m001_initial(connection: Connection) -> None:
    for statement in _M001.split(";"):
        if statement.strip():
            connection.execute(statement)


_MODULUS = 2**31 - 1


def _weight(column: str) -> str:
    """SQL: a pseudo-random number below the modulus, from a seed or problem id; no intermediate result overflows."""
    x = f"(({column} % {_MODULUS} + 40503) % {_MODULUS})"
    return f"({x} * {x} % {_MODULUS} * {x} % {_MODULUS})"


def _sealed(row: str) -> str:
    """SQL: what one row of rollout adds to the checksum of its condition; see ``esprobe.store.verdicts``."""
    value = f"(1 + {row}.correct + 2 * ({row}.finish_reason = 'length'))"
    return f"({_weight(f'{row}.seed')} * {_weight(f'{row}.problem_id')} % {_MODULUS} * {value} % {_MODULUS})"


def _counted(row: str, sign: str) -> str:
    carry = _MODULUS if sign == "-" else 0
    return (
        f"UPDATE totals SET rollouts = rollouts {sign} 1, correct = correct {sign} {row}.correct, "
        f"tokens = tokens {sign} {row}.token_count, cut_off = cut_off {sign} ({row}.finish_reason = 'length'), "
        f"checksum = (checksum {sign} {_sealed(row)} + {carry}) % {_MODULUS} WHERE condition_id = {row}.condition_id;"
    )


_M002 = (
    "ALTER TABLE completion ADD COLUMN checksum INTEGER",
    "CREATE TABLE totals ("
    "condition_id INTEGER NOT NULL PRIMARY KEY REFERENCES condition (id) ON DELETE CASCADE, "
    "rollouts INTEGER NOT NULL, correct INTEGER NOT NULL, tokens INTEGER NOT NULL, cut_off INTEGER NOT NULL, "
    "checksum INTEGER NOT NULL) STRICT",
    "INSERT INTO totals SELECT condition.id, count(seed), coalesce(sum(correct), 0), coalesce(sum(token_count), 0), "
    f"coalesce(sum(finish_reason = 'length'), 0), coalesce(sum({_sealed('rollout')}), 0) % {_MODULUS} "
    "FROM condition LEFT JOIN rollout ON condition_id = condition.id GROUP BY condition.id",
    "CREATE TRIGGER condition_added AFTER INSERT ON condition BEGIN "
    "INSERT OR REPLACE INTO totals VALUES (NEW.id, 0, 0, 0, 0, 0); END",
    f"CREATE TRIGGER rollout_added AFTER INSERT ON rollout BEGIN {_counted('NEW', '+')} END",
    f"CREATE TRIGGER rollout_removed AFTER DELETE ON rollout BEGIN {_counted('OLD', '-')} END",
    "CREATE TRIGGER rollout_changed AFTER UPDATE OF condition_id, seed, problem_id, correct, token_count, "
    f"finish_reason ON rollout BEGIN {_counted('OLD', '-')} {_counted('NEW', '+')} END",
)


def _m002_totals(connection: Connection) -> None:
    """Sums over each condition's rollouts, updated by triggers, so that damage to the file makes them disagree."""
    for statement in _M002:
        connection.execute(statement)


def _m003_problem_checksums(connection: Connection) -> None:
    """A checksum of each problem; NULL in existing rows, because they may already be damaged."""
    connection.execute("ALTER TABLE problem ADD COLUMN checksum INTEGER")


_M004 = (
    "ALTER TABLE session ADD COLUMN shard TEXT",
    "ALTER TABLE session ADD COLUMN rescored TEXT",
    "UPDATE session SET shard = json_extract(engine, '$.shard'), engine = json_remove(engine, '$.shard'), "
    "rescored = json_extract(versions, '$.rescored'), versions = json_remove(versions, '$.rescored')",
)


def _m004_session_columns(connection: Connection) -> None:
    """Columns for two values that queries need: a session's shard, and how its verdicts were rescored."""
    for statement in _M004:
        connection.execute(statement)


_M005 = (
    "CREATE TABLE training ("
    "id INTEGER NOT NULL PRIMARY KEY, digest TEXT NOT NULL UNIQUE, model TEXT NOT NULL, recipe TEXT NOT NULL, "
    "started_utc TEXT NOT NULL) STRICT",
    "CREATE TABLE iteration ("
    "training_id INTEGER NOT NULL REFERENCES training (id), iteration INTEGER NOT NULL, members TEXT NOT NULL, "
    "trajectory TEXT NOT NULL, state TEXT NOT NULL, norms TEXT NOT NULL, "
    "PRIMARY KEY (training_id, iteration)) STRICT, WITHOUT ROWID",
)


def _m005_training(connection: Connection) -> None:
    """Training runs, and the update that each of their iterations made."""
    for statement in _M005:
        connection.execute(statement)


_M006 = (
    "CREATE TABLE guessing ("
    "id INTEGER NOT NULL PRIMARY KEY, task TEXT NOT NULL, data_digest TEXT NOT NULL, label TEXT NOT NULL, "
    "definition TEXT NOT NULL, chances TEXT NOT NULL, checksum INTEGER NOT NULL, UNIQUE (task, data_digest)) STRICT",
    "CREATE TABLE model_name ("
    "id INTEGER NOT NULL PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, "
    "checksum INTEGER NOT NULL) STRICT",
    "CREATE TABLE given_up ("
    "id INTEGER NOT NULL PRIMARY KEY, condition_id INTEGER NOT NULL REFERENCES condition (id), "
    "first_index INTEGER NOT NULL, stop_index INTEGER NOT NULL, seeds TEXT NOT NULL, judged INTEGER NOT NULL, "
    "cut_off INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT",
    "ALTER TABLE session ADD COLUMN scorer_digest TEXT",
    "ALTER TABLE session ADD COLUMN task_file TEXT",
)


def _m006_tasks(connection: Connection) -> None:
    """Chances of guessing, the scorer's source, the task's file; names of models; seeds that were given up."""
    for statement in _M006:
        connection.execute(statement)


MIGRATIONS: dict[str, Callable[[Connection], None]] = {
    "m001_initial": _m001_initial,
    "m002_totals": _m002_totals,
    "m003_problem_checksums": _m003_problem_checksums,
    "m004_session_columns": _m004_session_columns,
    "m005_training": _m005_training,
    "m006_tasks": _m006_tasks,
}


def applied(connection: Connection) -> list[str]:
    """Names of the migrations that were applied to a file; empty for a new file."""
    exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'"
    if connection.execute(exists).fetchone() is None:
        return []
    return [name for (name,) in connection.execute("SELECT name FROM migration ORDER BY name")]


def migrate(connection: Connection) -> None:
    """Apply the missing migrations in the connection's current transaction, so that either all or none take effect."""
    done = set(applied(connection))
    for name, step in MIGRATIONS.items():
        if name in done:
            continue
        step(connection)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        connection.execute("INSERT INTO migration VALUES (?, ?)", (name, now))
