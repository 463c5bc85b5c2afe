"""Reading a database: conditions, sessions, totals, verdicts and completion texts."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

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
from esprobe.store import migrations
from esprobe.store.database import Database, Mode, damaged, open_database, parsed, scalars, translated
from esprobe.store.filters import RolloutFilter, keys_of
from esprobe.store.sessions import TaskFile, read_last_session, read_sessions, read_task_files
from esprobe.store.texts import check_texts, checksum_column, has_changed, sound_problems

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RolloutStore:
    """Read access to one database. Close it, or use it as a context manager."""

    _mode: Mode = "read"

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self._database = database
        self._shared: Connection | None = None
        self._problems: dict[int, StoredProblem] = {}  # rows never change, and conditions share them

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the database at ``path``.

        Raises:
            StoreError: it does not exist, is not an esprobe database, is from a newer esprobe, or cannot be opened.
        """
        path = Path(path)
        return cls(path, open_database(path, cls._mode))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Inside the block all reads see one state of the file, even while a sampler writes."""
        before = self._shared
        with self.reading() as connection:
            self._shared = connection
            try:
                yield
            finally:
                self._shared = before

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in its own transaction, or in the snapshot's; for use inside ``esprobe.store`` only."""
        with translated(self.path):
            if self._shared is not None:
                yield self._shared
            else:
                with self._database.transaction() as connection:
                    yield connection

    def rows_since(self, migration: str, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of a table that a migration made, none in a file of an older esprobe; inside ``esprobe.store`` only."""
        with self.reading() as connection:
            if migration not in migrations.applied(connection):
                return []
            return connection.execute(query, values).fetchall()

    def conditions(self) -> list[StoredCondition]:
        """Every condition, in the order of registration; empty if there is none.

        A training run has one for each iteration (``Kind.TRAINING``), which most tables leave out.
        """
        with self.reading() as connection:
            rows = connection.execute("SELECT id, model, identity, digest FROM condition ORDER BY id")
            return [stored_condition(self.path, *row) for row in rows]

    def sessions(self, condition_id: int | None = None) -> list[SessionRecord]:
        """Every session, oldest first; with ``condition_id`` only those that planned rollouts of that condition."""
        with self.reading() as connection:
            return read_sessions(connection, self.path, condition_id)

    def scorers(self, condition_id: int) -> tuple[str, ...]:
        """The scorers that gave the verdicts of a condition's rollouts, sorted; normally one."""
        query = (
            "SELECT DISTINCT scorer.name FROM work JOIN session ON session.id = session_id "
            "JOIN scorer ON scorer.id = scorer_id WHERE condition_id = ? AND work.rollouts > 0 ORDER BY scorer.name"
        )
        with self.reading() as connection:
            return tuple(scalars(connection, query, (condition_id,)))

    def task_files(self) -> dict[str, TaskFile]:
        """The files that tasks were loaded from, by the name of the task; those of packages are left out."""
        with self.reading() as connection:
            return read_task_files(connection)

    def last_session(self) -> SessionRecord | None:
        """The session that began last; None if there is none."""
        with self.reading() as connection:
            return read_last_session(connection, self.path)

    def extents(self, condition_id: int) -> list[Extent]:
        """The extents that sessions planned for a condition, oldest first, without duplicates.

        Sessions that failed before their first rollout are left out: what they planned is impossible, such as more
        tokens than the model has positions.
        """
        query = (
            "SELECT first_index, stop_index, first_seed, samples, problems FROM work "
            "JOIN session ON session.id = session_id WHERE condition_id = ? "
            "AND NOT (outcome IS 'failed' AND session.rollouts = 0) ORDER BY session_id"
        )
        with self.reading() as connection:
            return list(dict.fromkeys(Extent(*row) for row in connection.execute(query, (condition_id,))))

    def totals(self, condition_id: int) -> Totals:
        """Sums over a condition's stored rollouts."""
        query = (
            "SELECT count(*), coalesce(sum(correct), 0), coalesce(sum(token_count), 0), "
            "coalesce(sum(finish_reason = 'length'), 0) FROM rollout WHERE condition_id = ?"
        )
        with self.reading() as connection:
            recorded = _recorded(connection, condition_id)
            return recorded or Totals(*connection.execute(query, (condition_id,)).fetchone())

    def stored_by_seed(
        self, condition_id: int, problem_ids: Collection[int], first_seed: int, samples: int
    ) -> dict[int, int]:
        """For each of ``samples`` seeds, how many of the problems have a rollout; seeds without any are absent."""
        first, last = min(problem_ids, default=0), max(problem_ids, default=-1)
        # Ids that were assigned in one call have no gaps, and a range comparison is several times faster than a
        # look-up.
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

    def counts(self, condition_id: int) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
        """Per problem with at least one rollout: index, rollouts n, correct ones c; three (P,) int64 arrays.

        Raises:
            StoreError: as ``correctness``.
        """
        matrix = self.correctness(condition_id)
        return matrix.problems, matrix.stored.sum(axis=1), matrix.correct.sum(axis=1)

    def correctness(self, condition_id: int) -> Correctness:
        """Every stored verdict of a condition as a problems x seeds matrix, with a mask of the stored entries.

        Raises:
            StoreError: the verdicts or their problems have changed since they were written: the file is damaged.
        """
        return self.verdicts(condition_id)[0]

    def verdicts(self, condition_id: int) -> tuple[Correctness, list[StoredProblem]]:
        """The result of ``correctness`` and the problems of its rows, from one scan of the condition.

        Raises:
            StoreError: as ``correctness``.
        """
        import numpy as np

        from esprobe.store.verdicts import read_verdicts

        with self.reading() as connection:
            recorded = _recorded(connection, condition_id)
            verdicts = read_verdicts(connection, condition_id, recorded)
            if verdicts is None:
                reason = f"the rollouts of condition {condition_id} do not match their recorded totals and checksum"
                raise StoreError(damaged(self.path, reason))
            problems = self._problems_of(connection, verdicts.problem_ids.tolist())
        order = np.searchsorted(verdicts.problem_ids, [problem.id for problem in problems])
        correctness = Correctness(
            problems=np.array([problem.index for problem in problems], np.int64),
            groups=tuple(problem.group for problem in problems),
            seeds=verdicts.seeds,
            correct=verdicts.correct[order],
            stored=verdicts.stored[order],
        )
        return correctness, problems

    def _problems_of(self, connection: Connection, ids: Sequence[int]) -> list[StoredProblem]:
        """The problems with these ids, sorted by index."""
        wanted = set(ids) - self._problems.keys()
        if wanted:
            with parsed(self.path, "a problem"):
                for row in sound_problems(connection, self.path, wanted):
                    inputs = json.loads(row.inputs)
                    self._problems[row.id] = StoredProblem(row.id, row.problem_index, row.problem_group, inputs)
        if missing := len(wanted - self._problems.keys()):
            raise StoreError(damaged(self.path, f"{missing:,} problems that rollouts refer to do not exist"))
        return sorted((self._problems[id_] for id_ in set(ids)), key=lambda problem: problem.index)

    def rollouts(self, condition_id: int, problem_index: int | None = None) -> Iterator[StoredRollout]:
        """A condition's rollouts with their texts, by seed and problem; with ``problem_index`` only that problem's.

        Raises:
            StoreError: a text or a problem has changed since it was written, or a text is missing: the file is damaged.
        """
        with self.reading() as connection:
            sound_problems(connection, self.path)
            recorded = _recorded(connection, condition_id)
            keys, values = keys_of(connection, RolloutFilter([condition_id], problem_index), condition_id)
            query = (
                f"SELECT {checksum_column(connection)}, problem_index, seed, text, reward, correct, answer, failure, "
                f"token_count, finish_reason FROM ({keys}) CROSS JOIN problem ON problem.id = problem_id "
                "CROSS JOIN completion ON completion.id = completion_id ORDER BY seed, problem_id"
            )
            read = 0
            for checksum, *row in connection.execute(query, values):
                rollout = self._checked_rollout(condition_id, checksum, row)
                read += 1
                yield rollout
            if problem_index is None and recorded is not None and read != recorded.rollouts:
                lost = f"{read:,} of the {recorded.rollouts:,} rollouts of condition {condition_id} have a text"
                raise StoreError(damaged(self.path, f"only {lost}"))

    def check_completions(self) -> int:
        """Compare every completion of the file with its checksum; returns how many there are.

        Raises:
            StoreError: one has changed since it was written.
        """
        with self.reading() as connection:
            return check_texts(connection, self.path)

    def excerpts(self, condition_id: int, wanted: Sequence[tuple[int, int]]) -> Iterator[StoredRollout]:
        """The rollouts of a condition with these (problem id, seed) keys, in no particular order.

        Keys without a stored rollout are skipped.

        Raises:
            StoreError: a text has changed since it was written.
        """
        with self.reading() as connection:
            # One statement for any number of keys. CROSS JOIN fixes the join order, so that SQLite looks up each key
            # instead of scanning the whole condition.
            query = (
                f"SELECT {checksum_column(connection)}, problem_index, rollout.seed, text, reward, correct, answer, "
                "failure, token_count, finish_reason "
                "FROM json_each(:wanted) AS one CROSS JOIN rollout ON condition_id = :condition "
                "AND rollout.seed = json_extract(one.value, '$[1]') AND problem_id = json_extract(one.value, '$[0]') "
                "JOIN problem ON problem.id = problem_id JOIN completion ON completion.id = completion_id"
            )
            values = {"condition": condition_id, "wanted": json.dumps(wanted)}
            for checksum, *row in connection.execute(query, values):
                yield self._checked_rollout(condition_id, checksum, row)

    def _checked_rollout(self, condition_id: int, checksum: int | None, row: Sequence[Any]) -> StoredRollout:
        rollout = _rollout(row)
        self.check_text(condition_id, rollout, checksum)
        return rollout

    def check_text(self, condition_id: int, rollout: StoredRollout, checksum: int | None) -> None:
        """Compare the text of one rollout with the checksum stored when it was written.

        Raises:
            StoreError: they differ.
        """
        if has_changed(rollout.completion, checksum):
            what = f"the text of problem {rollout.problem}, seed {rollout.seed} of condition {condition_id}"
            raise StoreError(damaged(self.path, f"{what} has changed"))


def _rollout(row: Sequence[Any]) -> StoredRollout:
    index, seed, completion, reward, correct, *rest = row
    return StoredRollout(index, seed, completion, reward, bool(correct), *rest)


def stored_condition(path: Path, id_: int, model: str, identity_json: str, digest: str) -> StoredCondition:
    """A row of the table ``condition``.

    Raises:
        StoreError: it does not match its digest, or a newer esprobe wrote it.
    """
    with parsed(path, f"condition {id_}"):
        identity = {k: v for k, v in json.loads(identity_json).items() if k != "kind"}
        unknown = identity.keys() - {field.name for field in fields(Condition)}
        condition = None if unknown else Condition(model=model, **identity)
    if condition is None:
        raise StoreError(
            f"{path} was written by a newer esprobe (condition {id_} has {', '.join(sorted(unknown))}, which this "
            f"version lacks), so this version could misread it; update it: git pull in the checkout of esprobe, then "
            f"pip install ."
        )
    if condition.digest != digest:
        raise StoreError(damaged(path, f"condition {id_} does not match its digest"))
    return StoredCondition(id_, condition)


def _recorded(connection: Connection, condition_id: int) -> Totals | None:
    """The totals that triggers maintain; None in a file without migration m002, which added them."""
    if "m002_totals" not in migrations.applied(connection):
        return None
    query = "SELECT rollouts, correct, tokens, cut_off, checksum FROM totals WHERE condition_id = ?"
    row = connection.execute(query, (condition_id,)).fetchone()
    return Totals(0, 0, 0, 0, 0) if row is None else Totals(*row)
