"""Writing a database: only one process writes, and a stored rollout is never overwritten.

A rollout is committed together with its text, its condition's costs and its session's counters, so that the file is
consistent even if the process is killed.
"""

import json
import os
import socket
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, IntegrityError
from typing import Any, NamedTuple, Self

from esprobe.errors import RolloutConflictError
from esprobe.records import Extent
from esprobe.spec import Completion, Condition, Problem, Prompt, Score
from esprobe.store.database import Database, Mode, check_path, open_database, scalar, translated
from esprobe.store.lock import WriterLock
from esprobe.store.reader import RolloutStore
from esprobe.store.texts import PROBLEM, problem_checksum, sound_problems


class NewRollout(NamedTuple):
    """A rollout to be stored: its condition, its completion, and the verdict on it."""

    condition_id: int
    completion: Completion
    score: Score

    @property
    def key(self) -> tuple[int, int, int]:
        """The primary key of the rollout table: condition, seed, problem."""
        return self.condition_id, self.completion.request.seed, self.completion.request.problem_id

    @property
    def content(self) -> tuple[Any, ...]:
        """The values in which two rollouts with the same key must agree: reward, correct, ..., text."""
        score, drawn = self.score, self.completion
        verdict = (score.reward, int(score.correct), score.answer, score.failure)
        return (*verdict, drawn.token_count, drawn.finish_reason, drawn.text)


@dataclass(frozen=True)
class EngineTime:
    """Seconds an engine spent on a condition: generating, and switching weights."""

    generate_s: float = 0.0
    switch_s: float = 0.0


class RolloutWriter(RolloutStore):
    """Write access to one database; holds its lock until closed."""

    _mode: Mode = "write"

    def __init__(self, path: Path, database: Database, lock: WriterLock) -> None:
        super().__init__(path, database)
        self._lock = lock

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open ``path`` for writing, creating it or migrating its schema if necessary.

        Raises:
            StoreLockedError: another process writes to it.
            StoreError: it is not an esprobe database, was written by a newer esprobe, is read-only, or is on a network
                file system.
        """
        path = Path(path)
        check_path(path, "write")  # before a lock file is created
        lock = WriterLock(path)
        try:
            return cls(path, open_database(path, "write"), lock)
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        """Close the file and release the lock."""
        super().close()
        self._lock.close()

    def register_condition(self, condition: Condition) -> int:
        """The id of a condition, which is stored first if it is new."""
        values = (condition.kind.value, condition.temperature, condition.sigma, condition.model)
        with self.reading() as connection:
            id_: int | None = scalar(connection, "SELECT id FROM condition WHERE digest = ?", (condition.digest,))
            return id_ or scalar(
                connection,
                "INSERT INTO condition (kind, temperature, sigma, model, identity, digest) VALUES (?, ?, ?, ?, ?, ?) "
                "RETURNING id",
                (*values, json.dumps(condition.identity), condition.digest),
            )

    def register_problems(
        self, task: str, task_digest: str, problems: Iterable[tuple[Problem, Prompt]]
    ) -> dict[int, int]:
        """A map from problem index to id for a task's problems; new ones are stored first.

        Raises:
            StoreError: a stored problem has changed since it was written: the file is damaged.
        """
        with self.reading() as connection:
            stored = sound_problems(connection, self.path)
            ids = {row.problem_index: row.id for row in stored if row.task_digest == task_digest}
            for problem, prompt in problems:
                if problem.index in ids:
                    continue
                columns = (problem.index, problem.group, json.dumps(dict(problem.inputs)))
                prompt_json = json.dumps({"messages": prompt.messages, "begun": prompt.assistant_prefix})
                values = (task, task_digest, *columns, prompt_json, prompt.digest)
                ids[problem.index] = scalar(
                    connection,
                    f"INSERT INTO problem ({PROBLEM}, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                    (*values, problem_checksum(values)),
                )
            return ids

    def owed(
        self, condition_id: int, problem_ids: Collection[int], first_seed: int, samples: int
    ) -> list[tuple[int, int]]:
        """(problem id, seed) of the missing rollouts: in the order of ``problem_ids``, then by seed."""
        query = (
            "WITH RECURSIVE wanted (seed) AS "
            "(VALUES (:first) UNION ALL SELECT seed + 1 FROM wanted WHERE seed < :last) "
            "SELECT planned.value, wanted.seed FROM json_each(:ids) AS planned CROSS JOIN wanted WHERE NOT EXISTS "
            "(SELECT 1 FROM rollout WHERE rollout.condition_id = :condition AND rollout.seed = wanted.seed "
            "AND rollout.problem_id = planned.value) ORDER BY planned.key, wanted.seed"
        )
        values = {"condition": condition_id, "first": first_seed, "last": first_seed + samples - 1}
        with self.reading() as connection:
            return connection.execute(query, values | {"ids": json.dumps(list(problem_ids))}).fetchall()

    def begin_session(
        self,
        command: str,
        scorer: str,
        extents: Mapping[int, Extent],
        engine: Mapping[str, Any],
        versions: Mapping[str, str],
        hardware: Mapping[str, Any],
        shard: str | None = None,
        scorer_digest: str | None = None,
        task_file: str | None = None,
    ) -> int:
        """Record the start of a sampling command; returns the session's id.

        Args:
            command: the command line.
            scorer: the scorer of its rollouts.
            extents: what it plans, by condition id.
            engine: the engine, the model, and how they run.
            versions: of esprobe and the libraries that determine results.
            hardware: the machine and devices.
            shard: the part of the plan, such as "3/16"; None for all of it.
            scorer_digest: of the scorer's source; None of a built-in one.
            task_file: the ``FILE.py:NAME`` that the task was loaded from; None of an installed one.
        """
        now = _now()
        described = tuple(json.dumps(dict(mapping)) for mapping in (engine, versions, hardware))
        with self.reading() as connection:
            connection.execute("INSERT INTO scorer (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (scorer,))
            scorer_id = scalar(connection, "SELECT id FROM scorer WHERE name = ?", (scorer,))
            session_id: int = scalar(
                connection,
                "INSERT INTO session (command, scorer_id, started_utc, updated_utc, host, pid, rollouts, tokens, "
                "engine, versions, hardware, shard, scorer_digest, task_file) "
                "VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    *(command, scorer_id, now, now, socket.gethostname(), os.getpid()),
                    *(*described, shard, scorer_digest, task_file),
                ),
            )
            connection.executemany(
                "INSERT INTO work (session_id, condition_id, first_index, stop_index, first_seed, samples, problems, "
                "rollouts, tokens, generate_s, switch_s) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0.0, 0.0)",
                [
                    (session_id, id_, e.first_index, e.stop_index, e.first_seed, e.samples, e.problems)
                    for id_, e in extents.items()
                ],
            )
            return session_id

    def record_workers(self, session_id: int, workers: Sequence[Mapping[str, Any]]) -> None:
        """Record the workers of a session so far, in order, under ``workers`` in its hardware."""
        with self.reading() as connection:
            connection.execute(
                "UPDATE session SET hardware = json_set(hardware, '$.workers', json(?)) WHERE id = ?",
                (json.dumps([dict(worker) for worker in workers]), session_id),
            )

    def end_session(self, session_id: int, outcome: str) -> None:
        """Record how a session ended: "done", "stopped" or "failed"."""
        with self.reading() as connection:
            connection.execute(
                "UPDATE session SET ended_utc = ?, outcome = ? WHERE id = ?", (_now(), outcome, session_id)
            )

    def add(self, session_id: int, rollouts: Sequence[NewRollout], costs: Mapping[int, EngineTime]) -> int:
        """Store rollouts, all or none, and the engine time by condition id; returns how many were new.

        A rollout that is already stored with the same content is skipped.

        Raises:
            RolloutConflictError: one is already stored with other content; nothing of the batch is stored.
            StoreError: the file could not be written; nothing of the batch is stored.
        """
        with translated(self.path):
            try:
                with self._database.transaction() as connection:
                    _insert(connection, session_id, rollouts, costs)
                return len(rollouts)
            except IntegrityError:
                with self._database.transaction() as connection:
                    new = [rollout for rollout in rollouts if not _is_stored(connection, rollout)]
                    if len(new) == len(rollouts):
                        raise  # no key was stored: another constraint failed, which is a bug
                    _insert(connection, session_id, new, costs)
                return len(new)


def _insert(
    connection: Connection, session_id: int, rollouts: Sequence[NewRollout], costs: Mapping[int, EngineTime]
) -> None:
    last: int = scalar(connection, "SELECT coalesce(max(id), 0) FROM completion")
    texts, rows = [], []
    work = {condition_id: [0, 0, cost.generate_s, cost.switch_s] for condition_id, cost in costs.items()}
    for id_, rollout in enumerate(rollouts, last + 1):
        *verdict, completion_text = rollout.content
        texts.append((id_, completion_text, zlib.crc32(completion_text.encode())))
        rows.append((*rollout.key, *verdict, session_id, id_))
        done = work.setdefault(rollout.condition_id, [0, 0, 0.0, 0.0])
        done[0] += 1
        done[1] += rollout.completion.token_count
    if rows:
        connection.executemany("INSERT INTO completion VALUES (?, ?, ?)", texts)
        connection.executemany(f"INSERT INTO rollout VALUES ({', '.join('?' * 11)})", rows)
    for condition_id, done in work.items():
        connection.execute(
            "UPDATE work SET rollouts = rollouts + ?, tokens = tokens + ?, generate_s = generate_s + ?, "
            "switch_s = switch_s + ? WHERE session_id = ? AND condition_id = ?",
            (*done, session_id, condition_id),
        )
    connection.execute(
        "UPDATE session SET rollouts = rollouts + ?, tokens = tokens + ?, updated_utc = ? WHERE id = ?",
        (len(rows), sum(rollout.completion.token_count for rollout in rollouts), _now(), session_id),
    )


def _is_stored(connection: Connection, rollout: NewRollout) -> bool:
    query = (
        "SELECT reward, correct, answer, failure, token_count, finish_reason, text FROM rollout JOIN completion "
        "ON completion.id = completion_id WHERE condition_id = ? AND seed = ? AND problem_id = ?"
    )
    row = connection.execute(query, rollout.key).fetchone()
    if row is None:
        return False
    if tuple(row) != rollout.content:
        request = rollout.completion.request
        raise RolloutConflictError(
            f"problem {request.problem_index}, seed {request.seed} of condition {rollout.condition_id} is stored "
            f"already with another completion or verdict, and a database can hold only one of them; nothing was "
            f"overwritten. Sample into another database with --db and compare the two"
        )
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")  # status computes rates even of runs that take a second
