"""Reading a database: conditions, what is stored of them, their verdicts and texts."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, Engine, Row, text
from sqlmodel import Session, col, select

from esprobe.errors import StoreError
from esprobe.records import (
    Correctness,
    Extent,
    SessionRecord,
    StoredCondition,
    StoredProblem,
    StoredRollout,
    Totals,
)
from esprobe.spec import Condition
from esprobe.store.database import Mode, open_database, translated
from esprobe.store.schema import ConditionRow, ScorerRow, SessionRow, WorkRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RolloutStore:
    """Read access to one database. Close it, or use it as a context manager."""

    _mode: Mode = "read"

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the database at ``path``.

        Raises:
            StoreError: it does not exist, is not esprobe's, is newer than this esprobe, or cannot be opened.
        """
        path = Path(path)
        return cls(path, open_database(path, cls._mode))

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def conditions(self) -> list[StoredCondition]:
        """Every condition, in the order in which they were first asked for; empty if there is none."""
        with translated(self.path), Session(self._engine) as session:
            rows = session.exec(select(ConditionRow).order_by(col(ConditionRow.id))).all()
            return [_condition(self.path, row) for row in rows]

    def problems(self, condition_id: int) -> list[StoredProblem]:
        """The problems of which a condition has at least one rollout, by index."""
        with translated(self.path), self._engine.begin() as connection:
            return _problems(connection, condition_id)

    def sessions(self, condition_id: int | None = None) -> list[SessionRecord]:
        """Every session, oldest first; with ``condition_id`` those that were asked for that condition."""
        with translated(self.path), Session(self._engine) as session:
            query = select(SessionRow, ScorerRow.name).join(ScorerRow).order_by(col(SessionRow.id))
            if condition_id is not None:
                mine = select(WorkRow.session_id).where(WorkRow.condition_id == condition_id)
                query = query.where(col(SessionRow.id).in_(mine))
            return [_session(row, scorer) for row, scorer in session.exec(query)]

    def extents(self, condition_id: int) -> list[Extent]:
        """What each session that asked for a condition asked for, oldest first; equal ones once."""
        with translated(self.path), Session(self._engine) as session:
            query = select(WorkRow).where(WorkRow.condition_id == condition_id).order_by(col(WorkRow.session_id))
            asked = [
                Extent(row.first_index, row.stop_index, row.first_seed, row.samples, row.problems)
                for row in session.exec(query)
            ]
        return list(dict.fromkeys(asked))

    def totals(self, condition_id: int) -> Totals:
        """Sums over a condition's stored rollouts."""
        query = (
            "SELECT count(*), coalesce(sum(correct), 0), coalesce(sum(token_count), 0), "
            "coalesce(sum(finish_reason = 'length'), 0) FROM rollout WHERE condition_id = :condition"
        )
        with translated(self.path), self._engine.begin() as connection:
            return Totals(*connection.execute(text(query), {"condition": condition_id}).one())

    def counts(self, condition_id: int) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
        """Per problem with at least one rollout: index, rollouts n, correct ones c; three (P,) int64 arrays."""
        import numpy as np

        query = (
            "SELECT problem_index, n, c FROM problem JOIN (SELECT problem_id, count(*) AS n, sum(correct) AS c "
            "FROM rollout WHERE condition_id = :condition GROUP BY problem_id) ON problem_id = problem.id "
            "ORDER BY problem_index"
        )
        with translated(self.path), self._engine.begin() as connection:
            rows = connection.execute(text(query), {"condition": condition_id}).all()
        table = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2]

    def correctness(self, condition_id: int) -> Correctness:
        """Every stored verdict of a condition as a problems x seeds matrix, with the mask of what is stored."""
        import numpy as np

        # Two strings a seed instead of a row a rollout: the driver hands over two million verdicts in a blink.
        query = (
            "SELECT seed, group_concat(correct, ''), group_concat(problem_id) FROM "
            "(SELECT seed, problem_id, correct FROM rollout WHERE condition_id = :condition "
            "ORDER BY seed, problem_id) GROUP BY seed ORDER BY seed"
        )
        columns: list[tuple[int, bytes, NDArray[np.int64]]] = []
        rows_of: dict[str, NDArray[np.int64]] = {}  # complete seeds all name the same problems
        # One transaction: a sampler may be adding problems meanwhile.
        with translated(self.path), self._engine.begin() as connection:
            problems = _problems(connection, condition_id)
            by_id = {problem.id: row for row, problem in enumerate(problems)}
            for seed, verdicts, ids in connection.execute(text(query), {"condition": condition_id}):
                if ids not in rows_of:
                    rows_of[ids] = np.array([by_id[int(i)] for i in ids.split(",")], np.int64)
                columns.append((seed, verdicts.encode(), rows_of[ids]))
        correct = np.zeros((len(problems), len(columns)), np.bool_)
        stored = np.zeros_like(correct)
        for column, (_, verdicts, rows) in enumerate(columns):
            correct[rows, column] = np.frombuffer(verdicts, np.uint8) == ord("1")
            stored[rows, column] = True
        return Correctness(
            problems=np.array([p.index for p in problems], np.int64),
            groups=tuple(p.group for p in problems),
            seeds=np.array([seed for seed, _, _ in columns], np.int64),
            correct=correct,
            stored=stored,
        )

    def rollouts(self, condition_id: int, problem_index: int | None = None) -> Iterator[StoredRollout]:
        """A condition's rollouts with their texts, by seed and problem; with ``problem_index`` that problem's."""
        query = (
            "SELECT problem_index, seed, text, reward, correct, answer, failure, token_count, finish_reason "
            "FROM rollout JOIN problem ON problem.id = problem_id JOIN completion ON completion.id = completion_id "
            "WHERE condition_id = :condition AND (:problem IS NULL OR problem_index = :problem) "
            "ORDER BY seed, problem_id"
        )
        values = {"condition": condition_id, "problem": problem_index}
        with translated(self.path), self._engine.begin() as connection:
            for row in connection.execution_options(yield_per=1000).execute(text(query), values):
                yield _rollout(row)

    def excerpts(self, condition_id: int, wanted: Sequence[tuple[int, int]]) -> Iterator[StoredRollout]:
        """Those rollouts of a condition that are named by (problem index, seed), in no particular order.

        One that is not stored is left out.
        """
        # One statement, however many are wanted. CROSS JOIN fixes the order: each is found by its key, where SQLite
        # would otherwise read the whole condition.
        query = (
            "SELECT problem_index, rollout.seed, text, reward, correct, answer, failure, token_count, finish_reason "
            "FROM json_each(:wanted) AS one CROSS JOIN rollout ON condition_id = :condition "
            "AND rollout.seed = json_extract(one.value, '$[1]') AND problem_id = json_extract(one.value, '$[0]') "
            "JOIN problem ON problem.id = problem_id JOIN completion ON completion.id = completion_id"
        )
        with translated(self.path), self._engine.begin() as connection:
            ids = {problem.index: problem.id for problem in _problems(connection, condition_id)}
            keys = json.dumps([(ids[index], seed) for index, seed in wanted if index in ids])
            for row in connection.execute(text(query), {"condition": condition_id, "wanted": keys}):
                yield _rollout(row)


def _rollout(row: Row[Any]) -> StoredRollout:
    index, seed, completion, reward, correct, *rest = tuple(row)
    return StoredRollout(index, seed, completion, reward, bool(correct), *rest)


def _condition(path: Path, row: ConditionRow) -> StoredCondition:
    identity = {k: v for k, v in json.loads(row.identity).items() if k != "kind"}
    unknown = identity.keys() - {field.name for field in fields(Condition)}
    if unknown:
        raise StoreError(
            f"{path} was written by a newer esprobe (condition {row.id} has {', '.join(sorted(unknown))}, unknown "
            f"here), so this one could misread it; upgrade: pip install --upgrade esprobe"
        )
    assert row.id is not None
    return StoredCondition(row.id, Condition(model=row.model, **identity))


def _problems(connection: Connection, condition_id: int) -> list[StoredProblem]:
    query = (
        "SELECT id, problem_index, problem_group, inputs FROM problem WHERE id IN "
        "(SELECT problem_id FROM rollout WHERE condition_id = :condition) ORDER BY problem_index"
    )
    rows = connection.execute(text(query), {"condition": condition_id})
    return [StoredProblem(id_, index, group, json.loads(inputs)) for id_, index, group, inputs in rows]


def _session(row: SessionRow, scorer: str) -> SessionRecord:
    assert row.id is not None
    return SessionRecord(
        id=row.id,
        command=row.command,
        scorer=scorer,
        started_utc=row.started_utc,
        ended_utc=row.ended_utc,
        outcome=row.outcome,
        host=row.host,
        pid=row.pid,
        rollouts=row.rollouts,
        tokens=row.tokens,
        engine=json.loads(row.engine),
        versions=json.loads(row.versions),
        hardware=json.loads(row.hardware),
    )
