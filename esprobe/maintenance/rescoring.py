"""Scoring stored completion texts again; needs no engine and no model.

Owns which scorer is used, and the counts of changes. Does not know how a task scores, or how rollouts are stored.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import esprobe
from esprobe.errors import StoreError, UsageError
from esprobe.paths import kind_of
from esprobe.records import SessionRecord, StoredCondition, VerdictChanges
from esprobe.spec import Score
from esprobe.store.database import damaged, stored_problems
from esprobe.store.session_verdicts import ScoredText, VerdictReader, VerdictWriter
from esprobe.store.soundness import check_content
from esprobe.tasks import Task, load_task

Change = tuple[ScoredText, Score]
"""A stored rollout and its new verdict."""


class Judge:
    """Scores stored texts again; each task is loaded when ``scorer`` first needs it."""

    def __init__(self, store: VerdictReader) -> None:
        self._path = store.path
        self._problems = store.task_problems()
        self._tasks: dict[str, Task] = {}

    def verdict(self, stored: ScoredText, scorer: str) -> Score:
        """The verdict that a scorer of the rollout's task gives its text.

        Raises:
            StoreError: its problem does not exist, or its task rejects the problem.
        """
        task_problem = self._problems.get(stored.problem_id)
        if task_problem is None or task_problem.task not in self._tasks:
            what = (
                f"a rollout refers to problem id {stored.problem_id}, which does not exist or belongs to another task"
            )
            raise StoreError(damaged(self._path, what))
        with stored_problems(self._path):
            return self._tasks[task_problem.task].score(task_problem.problem, stored.completion, scorer)

    def changes(self, batch: Iterable[ScoredText], scorer: str) -> list[Change]:
        """The rollouts of a batch whose new verdict differs from the stored one in any field."""
        verdicts = ((stored, self.verdict(stored, scorer)) for stored in batch)
        return [(stored, verdict) for stored, verdict in verdicts if verdict != stored.score]

    def scorer(self, task: str, wanted: str | None, current: str) -> str:
        """Resolve a scorer name, with or without a version, to a scorer of a task.

        Args:
            task: name of a task in the file.
            wanted: "strict/1", or "strict" for its newest version; None for the newest version of ``current``.
            current: the scorer of the stored verdicts.

        Raises:
            UsageError: the task has no such scorer, or is not installed.
        """
        name = wanted or current.partition("/")[0]
        if task not in self._tasks:
            self._tasks[task] = load_task(task)
        offered = self._tasks[task].scorers
        if name in offered:
            return name
        versions = [scorer for scorer in offered if scorer.partition("/")[0] == name]
        if not versions:
            raise UsageError(
                f"task {task} has no scorer {name!r}, so its rollouts cannot be scored by it; "
                f"use --scorer {' or '.join(offered)}"
            )
        return max(versions, key=_version)


@dataclass(frozen=True)
class Rescored:
    """The result of rescoring a database.

    Attributes:
        changes: one for each condition with compared rollouts.
        sessions: number of sessions whose verdicts were compared.
        skipped: number of sessions whose verdicts were already by that scorer.
        given: number of imported sessions, which are not changed because their file contained the verdicts.
        written: whether the new verdicts were stored.
    """

    changes: tuple[VerdictChanges, ...]
    sessions: int
    skipped: int
    given: int
    written: bool


def rescore(database: Path, wanted: str | None, *, write: bool, advance: Callable[[int, int], None]) -> Rescored:
    """Score again every rollout of ``database`` whose verdict is by another scorer.

    Each session is one transaction: even if the process is killed, all verdicts of a session are by the scorer that the
    session names, and the same call again continues with the remaining sessions.

    Args:
        database: the database file.
        wanted: the scorer, as for ``Judge.scorer``.
        write: whether to store the new verdicts.
        advance: called with (rollouts compared now, rollouts to compare in total) after every batch; if it raises, the
            current session is unchanged.

    Raises:
        StoreError: the file cannot be read or written, is damaged, or contains no rollouts that could be scored.
        UsageError: a task in the file is not installed, or does not have the scorer.
    """
    if write and kind_of(database) == "nothing":
        VerdictReader.open(database)  # raises; a writer would create the file
    with (VerdictWriter if write else VerdictReader).open(database) as store:
        sampled = [session for session in store.sessions() if session.rollouts]
        sessions = [session for session in sampled if not session.has_given_verdicts]
        if not sessions:
            content = "only imported rollouts, whose file contained the verdicts" if sampled else "no rollouts"
            raise StoreError(f"{database} contains {content}, so there is nothing to score; use another with --db")
        judge = Judge(store)
        scorers = {session.id: _target_scorer(store, judge, session, wanted) for session in sessions}
        outdated = [session for session in sessions if scorers[session.id] != session.scorer]
        if outdated:
            # New verdicts bring the recorded sums up to date: after that nobody could tell that old ones had changed.
            check_content(store)
        total = sum(session.rollouts for session in outdated)
        tallies: dict[int, _Tally] = {}
        for session in outdated:
            scorer = scorers[session.id]
            # Closed here, not by the garbage collector: an error in this loop must roll back the transaction at once.
            with closing(_compared(store, judge, session, scorer)) as compared:
                for batch, changes in compared:
                    tally = tallies.setdefault(batch[0].condition_id, _Tally(scorer))
                    tally.add(session.scorer, batch, changes)
                    advance(len(batch), total)
        conditions = {stored.id: stored for stored in store.conditions()}
    return Rescored(
        changes=tuple(tally.changes(conditions[id_]) for id_, tally in sorted(tallies.items())),
        sessions=len(outdated),
        skipped=len(sessions) - len(outdated),
        given=len(sampled) - len(sessions),
        written=write,
    )


def _target_scorer(store: VerdictReader, judge: Judge, session: SessionRecord, wanted: str | None) -> str:
    """The scorer to use for a session; a session has exactly one task, because a command samples one."""
    tasks = store.tasks(session.id)
    if not tasks:
        reason = f"session {session.id} has {session.rollouts:,} rollouts, and nothing says of which condition"
        raise StoreError(damaged(store.path, reason))
    (scorer,) = {judge.scorer(task, wanted, session.scorer) for task in tasks}
    return scorer


def _compared(
    store: VerdictReader, judge: Judge, session: SessionRecord, scorer: str
) -> Generator[tuple[Sequence[ScoredText], list[Change]]]:
    """A session's rollouts in batches, each with its changes; a ``VerdictWriter`` stores the changes."""
    if not isinstance(store, VerdictWriter):
        with closing(store.scored_texts(session.id)) as batches:
            for batch in batches:
                yield batch, judge.changes(batch, scorer)
        return
    with store.replacing(session.id) as verdicts:
        for batch in verdicts.scored_texts():
            changes = judge.changes(batch, scorer)
            verdicts.replace(changes)
            yield batch, changes
        now = datetime.now(UTC).isoformat(timespec="seconds")
        verdicts.name_scorer(scorer, f"{session.scorer} to {scorer} by esprobe {esprobe.__version__} at {now}")


@dataclass
class _Tally:
    """Running counts of one condition for ``VerdictChanges``."""

    scorer: str
    before: set[str] = field(default_factory=set)
    rollouts: int = 0
    correct: int = 0
    lost: int = 0
    gained: int = 0
    rewards: int = 0
    answers: int = 0
    failures: int = 0
    changed: int = 0

    def add(self, before: str, batch: Sequence[ScoredText], changes: Sequence[Change]) -> None:
        self.before.add(before)
        self.rollouts += len(batch)
        self.correct += sum(stored.score.correct for stored in batch)
        self.changed += len(changes)
        for stored, verdict in changes:
            old = stored.score
            self.lost += old.correct and not verdict.correct
            self.gained += verdict.correct and not old.correct
            self.rewards += verdict.reward != old.reward
            self.answers += verdict.answer != old.answer
            self.failures += not (old.correct or verdict.correct) and verdict.failure != old.failure

    def changes(self, condition: StoredCondition) -> VerdictChanges:
        return VerdictChanges(
            condition=condition,
            before=tuple(sorted(self.before)),
            scorer=self.scorer,
            rollouts=self.rollouts,
            correct_before=self.correct,
            correct_after=self.correct - self.lost + self.gained,
            lost=self.lost,
            gained=self.gained,
            rewards=self.rewards,
            answers=self.answers,
            failures=self.failures,
            changed=self.changed,
        )


def _version(scorer: str) -> tuple[int, str]:
    """A sort key for versions: numbers by value, and anything else before them."""
    version = scorer.partition("/")[2]
    return (int(version), "") if version.isdecimal() else (-1, version)
