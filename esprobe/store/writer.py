"""Writing a database: by one process, rollouts once and never again.

A rollout is committed together with its text, its condition's costs and its session's counters, so that a file
is consistent wherever the process was killed.
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
    """A rollout to be stored: what was drawn, under which condition, and the verdict on it."""

    condition_id: int
    completion: Completion
    score: Score

    @property
    def key(self) -> tuple[int, int, int]:
        """The primary key of the rollout table: condition, seed, problem."""
        return self.condition_id, self.completion.request.seed, self.completion.request.problem_id

    @property
    def content(self) -> tuple[Any, ...]:
        """What two rollouts under one key must agree in: reward, correct, ..., text."""
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
        """Open ``path`` for writing, making it or bringing its schema up to date if need be.

        Raises:
            StoreLockedError: another process writes to it.
            StoreError: it is not esprobe's, is newer, read-only, or lies on a network file system.
        """
        path = Path(path)
        check_path(path, "write")  # before a lock file is made
        lock = WriterLock(path)
        try:
            return cls(path, open_database(path, "write"), lock)
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        """Close the file and let others write."""
        super().close()
        self._lock.close()

    def register_condition(self, condition: Condition) -> int:
        """The id of a condition, stored if it is new."""
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
        """Ids by problem index of a task's problems, stored where they are new.

        Raises:
            StoreError: a problem that is stored is not the one that was written: the file is damaged.
        """
        with self.reading() as connection:
            stored = sound_problems(connection, self.path)
            known = {row.problem_index: row.id for row in stored if row.task_digest == task_digest}
            for problem, prompt in problems:
                if problem.index in known:
                    continue
                given = (problem.index, problem.group, json.dumps(dict(problem.inputs)))
                asked = json.dumps({"messages": prompt.messages, "begun": prompt.assistant_prefix})
                values = (task, task_digest, *given, asked, prompt.digest)
                known[problem.index] = scalar(
                    connection,
                    f"INSERT INTO problem ({PROBLEM}, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                    (*values, problem_checksum(values)),
                )
            return known

    def stored_by_seed(
        self, condition_id: int, problem_ids: Collection[int], first_seed: int, samples: int
    ) -> dict[int, int]:
        """How many of some problems have a rollout under each of some seeds; seeds without one are absent."""
        first, last = min(problem_ids, default=0), max(problem_ids, default=-1)
        # Ids that were given in one go have no gaps, and a comparison is several times quicker than a look-up.
        gaps = last - first + 1 > len(problem_ids)
        among = " AND problem_id IN (SELECT value FROM json_each(:ids))" if gaps else ""
        query = (
            "SELECT seed, count(*) FROM rollout WHERE condition_id = :condition AND seed BETWEEN :first AND :last "
            f"AND problem_id BETWEEN :lowest AND :highest{among} GROUP BY seed"
        )
        values = {"condition": condition_id, "first": first_seed, "last": first_seed + samples - 1}
        values |= {"lowest": first, "highest": last}
        with self.reading() as connection:
            return dict(connection.execute(query, values | ({"ids": json.dumps(list(problem_ids))} if gaps else {})))

    def owed(
        self, condition_id: int, problem_ids: Collection[int], first_seed: int, samples: int
    ) -> list[tuple[int, int]]:
        """(problem id, seed) of the rollouts that are not stored, by problem in the given order, then by seed."""
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
    ) -> int:
        """Record that a command starts to sample; returns the session's id.

        Args:
            command: as it was typed.
            scorer: whose verdicts its rollouts get.
            extents: what it was asked for, by condition id.
            engine: what was loaded, and how it runs.
            versions: of esprobe and the libraries that compute.
            hardware: what it runs on.
            shard: the share of the plan, such as "3/16"; None for all of it.
        """
        now = _now()
        described = tuple(json.dumps(dict(facts)) for facts in (engine, versions, hardware))
        with self.reading() as connection:
            connection.execute("INSERT INTO scorer (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (scorer,))
            scorer_id = scalar(connection, "SELECT id FROM scorer WHERE name = ?", (scorer,))
            session_id: int = scalar(
                connection,
                "INSERT INTO session (command, scorer_id, started_utc, updated_utc, host, pid, rollouts, tokens, "
                "engine, versions, hardware, shard) VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?) RETURNING id",
                (command, scorer_id, now, now, socket.gethostname(), os.getpid(), *described, shard),
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
        """Store rollouts, all or none, and what they cost by condition id; returns how many were new.

        A rollout that is stored already with the same content is left as it is.

        Raises:
            RolloutConflictError: one is stored already with other content; nothing of the batch is stored.
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
                        raise  # no key was stored: another constraint was broken, and that is a bug
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
            f"already with another completion or verdict, so one key would name two rollouts; nothing was "
            f"overwritten. Sample into another database with --db and compare the two"
        )
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")  # rates are told of runs that take a second
