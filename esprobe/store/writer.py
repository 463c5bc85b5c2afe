"""Writing a database: by one process, rollouts once and never again.

A rollout is committed together with its text, its condition's costs and its session's counters, so that a file
is consistent wherever the process was killed.
"""

import json
import os
import socket
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from esprobe.errors import RolloutConflictError
from esprobe.records import Extent
from esprobe.spec import Completion, Condition, Problem, Prompt, Score
from esprobe.store.database import Mode, check_path, open_database, translated
from esprobe.store.lock import WriterLock
from esprobe.store.reader import RolloutStore
from esprobe.store.schema import ConditionRow, ScorerRow, SessionRow, WorkRow
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
class Cost:
    """Seconds an engine spent on a condition: generating, and switching weights."""

    generate_s: float = 0.0
    switch_s: float = 0.0


class RolloutWriter(RolloutStore):
    """Write access to one database; holds its lock until closed."""

    _mode: Mode = "write"

    def __init__(self, path: Path, engine: Engine, lock: WriterLock) -> None:
        super().__init__(path, engine)
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
        with translated(self.path), Session(self._engine) as session:
            row = session.exec(select(ConditionRow).where(ConditionRow.digest == condition.digest)).first()
            if row is None:
                row = ConditionRow(
                    kind=condition.kind,
                    temperature=condition.temperature,
                    sigma=condition.sigma,
                    model=condition.model,
                    identity=json.dumps(condition.identity),
                    digest=condition.digest,
                )
                session.add(row)
                session.commit()
            assert row.id is not None
            return row.id

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
                known[problem.index] = connection.exec_driver_sql(
                    f"INSERT INTO problem ({PROBLEM}, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                    (*values, problem_checksum(values)),
                ).scalar_one()
            return known

    def plan_problems(self, problem_ids: Sequence[int]) -> None:
        """Name the problems, in their order, that ``stored_by_seed`` and ``owed`` speak of from now on."""
        with translated(self.path), self._engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS temp.planned")
            connection.exec_driver_sql(
                "CREATE TEMP TABLE planned (problem_id INTEGER PRIMARY KEY, position INTEGER NOT NULL) STRICT"
            )
            if problem_ids:
                rows = [(id_, position) for position, id_ in enumerate(problem_ids)]
                connection.exec_driver_sql("INSERT INTO planned VALUES (?, ?)", rows)

    def stored_by_seed(self, condition_id: int, first_seed: int, samples: int) -> dict[int, int]:
        """How many of the planned problems have a rollout under each seed; seeds without one are absent."""
        bounds = "SELECT count(*), coalesce(min(problem_id), 0), coalesce(max(problem_id), -1) FROM planned"
        query = (
            "SELECT seed, count(*) FROM rollout WHERE condition_id = ? AND seed BETWEEN ? AND ? "
            "AND problem_id BETWEEN ? AND ?{rest} GROUP BY seed"
        )
        with translated(self.path), self._engine.begin() as connection:
            count, first, last = connection.exec_driver_sql(bounds).one()
            # Ids that were given in one go have no gaps, and a comparison is several times quicker than a look-up.
            gaps = last - first + 1 > count
            query = query.format(rest=" AND problem_id IN (SELECT problem_id FROM planned)" if gaps else "")
            values = (condition_id, first_seed, first_seed + samples - 1, first, last)
            return {seed: count for seed, count in connection.exec_driver_sql(query, values)}

    def owed(self, condition_id: int, first_seed: int, samples: int) -> list[tuple[int, int]]:
        """(problem id, seed) of the planned rollouts that are not stored, by problem in plan order, then by seed."""
        query = (
            "WITH RECURSIVE wanted (seed) AS "
            "(VALUES (:first) UNION ALL SELECT seed + 1 FROM wanted WHERE seed < :last) "
            "SELECT planned.problem_id, wanted.seed FROM planned CROSS JOIN wanted WHERE NOT EXISTS "
            "(SELECT 1 FROM rollout WHERE rollout.condition_id = :condition AND rollout.seed = wanted.seed "
            "AND rollout.problem_id = planned.problem_id) ORDER BY planned.position, wanted.seed"
        )
        values = {"condition": condition_id, "first": first_seed, "last": first_seed + samples - 1}
        with translated(self.path), self._engine.begin() as connection:
            return [(problem_id, seed) for problem_id, seed in connection.execute(text(query), values)]

    def begin_session(
        self,
        command: str,
        scorer: str,
        extents: Mapping[int, Extent],
        engine: Mapping[str, Any],
        versions: Mapping[str, str],
        hardware: Mapping[str, Any],
    ) -> int:
        """Record that a command starts to sample; ``extents`` says what it was asked for, by condition id."""
        with translated(self.path), Session(self._engine) as session:
            scorer_row = session.exec(select(ScorerRow).where(ScorerRow.name == scorer)).first()
            if scorer_row is None:
                scorer_row = ScorerRow(name=scorer)
                session.add(scorer_row)
                session.flush()
            assert scorer_row.id is not None
            row = SessionRow(
                command=command,
                scorer_id=scorer_row.id,
                started_utc=_now(),
                updated_utc=_now(),
                host=socket.gethostname(),
                pid=os.getpid(),
                engine=json.dumps(dict(engine)),
                versions=json.dumps(dict(versions)),
                hardware=json.dumps(dict(hardware)),
            )
            session.add(row)
            session.flush()
            assert row.id is not None
            for condition_id, extent in extents.items():
                session.add(WorkRow(session_id=row.id, condition_id=condition_id, **vars(extent)))
            session_id = row.id
            session.commit()
            return session_id

    def record_workers(self, session_id: int, workers: Sequence[Mapping[str, Any]]) -> None:
        """Record the workers of a session so far, in order, under ``workers`` in its hardware."""
        with translated(self.path), self._engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE session SET hardware = json_set(hardware, '$.workers', json(?)) WHERE id = ?",
                (json.dumps([dict(worker) for worker in workers]), session_id),
            )

    def end_session(self, session_id: int, outcome: str) -> None:
        """Record how a session ended: "done", "stopped" or "failed"."""
        with translated(self.path), self._engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE session SET ended_utc = ?, outcome = ? WHERE id = ?", (_now(), outcome, session_id)
            )

    def add(self, session_id: int, rollouts: Sequence[NewRollout], costs: Mapping[int, Cost]) -> int:
        """Store rollouts, all or none, and what they cost by condition id; returns how many were new.

        A rollout that is stored already with the same content is left as it is.

        Raises:
            RolloutConflictError: one is stored already with other content; nothing of the batch is stored.
            StoreError: the file could not be written; nothing of the batch is stored.
        """
        with translated(self.path):
            try:
                with self._engine.begin() as connection:
                    _insert(connection, session_id, rollouts, costs)
                return len(rollouts)
            except IntegrityError:
                with self._engine.begin() as connection:
                    new = [rollout for rollout in rollouts if not _is_stored(connection, rollout)]
                    if len(new) == len(rollouts):
                        raise  # no key was stored: another constraint was broken, and that is a bug
                    _insert(connection, session_id, new, costs)
                return len(new)


def _insert(connection: Connection, session_id: int, rollouts: Sequence[NewRollout], costs: Mapping[int, Cost]) -> None:
    last: int = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM completion").scalar_one()
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
        connection.exec_driver_sql("INSERT INTO completion VALUES (?, ?, ?)", texts)
        connection.exec_driver_sql(f"INSERT INTO rollout VALUES ({', '.join('?' * 11)})", rows)
    for condition_id, done in work.items():
        connection.exec_driver_sql(
            "UPDATE work SET rollouts = rollouts + ?, tokens = tokens + ?, generate_s = generate_s + ?, "
            "switch_s = switch_s + ? WHERE session_id = ? AND condition_id = ?",
            (*done, session_id, condition_id),
        )
    connection.exec_driver_sql(
        "UPDATE session SET rollouts = rollouts + ?, tokens = tokens + ?, updated_utc = ? WHERE id = ?",
        (len(rows), sum(rollout.completion.token_count for rollout in rollouts), _now(), session_id),
    )


def _is_stored(connection: Connection, rollout: NewRollout) -> bool:
    query = (
        "SELECT reward, correct, answer, failure, token_count, finish_reason, text FROM rollout JOIN completion "
        "ON completion.id = completion_id WHERE condition_id = ? AND seed = ? AND problem_id = ?"
    )
    row = connection.exec_driver_sql(query, rollout.key).first()
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
