"""Reading verdicts together with their completion texts, and replacing them by those of another scorer.

One scorer gave all verdicts of a session, and the session's row names it. So they are replaced in one transaction: if
the process is killed, the session is unchanged. Only one batch of rollouts is in memory at a time.
"""

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from sqlite3 import Connection

from esprobe.spec import Problem, Score
from esprobe.store.database import parsed, translated
from esprobe.store.reader import RolloutStore
from esprobe.store.texts import sound_problems
from esprobe.store.writer import RolloutWriter

BATCH = 4096
"""Rollouts in memory at once."""


@dataclass(frozen=True, slots=True)
class ScoredText:
    """One stored rollout: its key, its text, and the verdict on it."""

    condition_id: int
    seed: int
    problem_id: int
    completion: str
    score: Score


@dataclass(frozen=True)
class TaskProblem:
    """A stored problem and the name of the task it belongs to."""

    task: str
    problem: Problem


class VerdictReader(RolloutStore):
    """Read access to verdicts by session."""

    def task_problems(self) -> dict[int, TaskProblem]:
        """Every problem by its id in this file.

        Raises:
            StoreError: a problem has changed since it was written: the file is damaged.
        """
        with self.reading() as connection:
            rows = sound_problems(connection, self.path)
        with parsed(self.path, "a problem"):
            return {
                row.id: TaskProblem(row.task, Problem(row.problem_index, json.loads(row.inputs), row.problem_group))
                for row in rows
            }

    def tasks(self, session_id: int) -> set[str]:
        """Names of the tasks that a session sampled."""
        query = (
            "SELECT DISTINCT json_extract(identity, '$.task') FROM work JOIN condition ON condition.id = condition_id "
            "WHERE session_id = ?"
        )
        with translated(self.path), self._database.transaction() as connection:
            return {task for (task,) in connection.execute(query, (session_id,))}

    def scored_texts(self, session_id: int) -> Generator[list[ScoredText]]:
        """A session's rollouts in batches, sorted by condition, seed and problem, all from one state of the file.

        A transaction stays open until the last batch; close the generator if you stop earlier.
        """
        with translated(self.path), self._database.transaction() as connection:
            yield from _batches(connection, session_id)


class VerdictWriter(RolloutWriter, VerdictReader):
    """Write access to verdicts by session; holds the database's lock until closed."""

    @contextmanager
    def replacing(self, session_id: int) -> "Iterator[SessionVerdicts]":
        """One transaction on a session's verdicts: committed at the end of the block, rolled back if it raises."""
        with translated(self.path), self._database.transaction() as connection:
            yield SessionVerdicts(connection, session_id)


class SessionVerdicts:
    """A session's verdicts while they are being replaced."""

    def __init__(self, connection: Connection, session_id: int) -> None:
        self._connection = connection
        self._session_id = session_id

    def scored_texts(self) -> Iterator[list[ScoredText]]:
        """The session's rollouts in batches; a batch may be replaced before the next is read."""
        return _batches(self._connection, self._session_id)

    def replace(self, verdicts: Sequence[tuple[ScoredText, Score]]) -> None:
        """Replace the verdicts of these rollouts."""
        rows = [
            (new.reward, int(new.correct), new.answer, new.failure, old.condition_id, old.seed, old.problem_id)
            for old, new in verdicts
        ]
        if rows:
            self._connection.executemany(
                "UPDATE rollout SET reward = ?, correct = ?, answer = ?, failure = ? "
                "WHERE condition_id = ? AND seed = ? AND problem_id = ?",
                rows,
            )

    def name_scorer(self, scorer: str, digest: str | None, remark: str) -> None:
        """Record the scorer of all the session's verdicts and the digest of its source, and add to its history."""
        run = self._connection.execute
        run("INSERT INTO scorer (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (scorer,))
        run(
            "UPDATE session SET scorer_id = (SELECT id FROM scorer WHERE name = ?), scorer_digest = ?, "
            "rescored = coalesce(rescored || '; ', '') || ? WHERE id = ?",
            (scorer, digest, remark, self._session_id),
        )


def _batches(connection: Connection, session_id: int) -> Iterator[list[ScoredText]]:
    # By key, not with one long cursor: rows that a running SELECT still reads must not be updated.
    query = (
        "SELECT seed, problem_id, text, reward, correct, answer, failure FROM "
        "(SELECT * FROM rollout WHERE condition_id = ? AND (seed, problem_id) > (?, ?) AND session_id = ? "
        "ORDER BY seed, problem_id LIMIT ?) CROSS JOIN completion ON completion.id = completion_id "
        "ORDER BY seed, problem_id"
    )
    conditions = connection.execute(
        "SELECT condition_id FROM work WHERE session_id = ? ORDER BY condition_id", (session_id,)
    )
    for (condition_id,) in conditions.fetchall():
        last = (-1, -1)
        while rows := connection.execute(query, (condition_id, *last, session_id, BATCH)).fetchall():
            yield [
                ScoredText(condition_id, seed, problem_id, text, Score(reward, bool(correct), answer, failure))
                for seed, problem_id, text, reward, correct, answer, failure in rows
            ]
            last = (rows[-1][0], rows[-1][1])
