"""Every verdict again, from stored texts: no engine, no model.

Owns which scorer is meant, and what changes under it. Does not know how a task scores, or how rollouts are stored.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import esprobe
from esprobe.errors import StoreError, UsageError
from esprobe.records import SessionRecord, StoredCondition, VerdictChanges
from esprobe.spec import Score
from esprobe.store.database import damaged, stored_problems
from esprobe.store.session_verdicts import ScoredText, VerdictReader, VerdictWriter
from esprobe.tasks import Task, load_task

Change = tuple[ScoredText, Score]
"""A rollout as it is stored, and another verdict on it."""


class Judge:
    """Scores stored texts again; tasks are loaded as their rollouts come up."""

    def __init__(self, store: VerdictReader) -> None:
        self._path = store.path
        self._problems = store.task_problems()
        self._tasks: dict[str, Task] = {}

    def verdict(self, stored: ScoredText, scorer: str) -> Score:
        """The verdict of a scorer of the rollout's task on its text.

        Raises:
            StoreError: its problem is not there, or is not one that its task could ask.
        """
        given = self._problems.get(stored.problem_id)
        if given is None or given.task not in self._tasks:
            what = f"the problem with id {stored.problem_id}, which a rollout names, is not there or of another task"
            raise StoreError(damaged(self._path, what))
        with stored_problems(self._path):
            return self._tasks[given.task].score(given.problem, stored.completion, scorer)

    def changes(self, batch: Iterable[ScoredText], scorer: str) -> list[Change]:
        """Those of a batch on which a scorer's verdict is not the stored one, in any part of it."""
        verdicts = ((stored, self.verdict(stored, scorer)) for stored in batch)
        return [(stored, verdict) for stored, verdict in verdicts if verdict != stored.score]

    def scorer(self, task: str, wanted: str | None, current: str) -> str:
        """The scorer of a task that a person means by a name with or without a version.

        Args:
            task: name of a task of the file.
            wanted: "strict/1", or "strict" for its newest version; None for the newest version of ``current``.
            current: the scorer of the verdicts that are stored.

        Raises:
            UsageError: the task has none of that name, or is not installed.
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
    """What came of rescoring a database.

    Attributes:
        changes: one for each condition with rollouts that were compared.
        sessions: how many sessions' verdicts were compared.
        skipped: how many sessions' verdicts were the scorer's already.
        given: how many sessions were left as they are, because their verdicts came with an import.
        written: whether the new verdicts were stored.
    """

    changes: tuple[VerdictChanges, ...]
    sessions: int
    skipped: int
    given: int
    written: bool


def rescore(database: Path, wanted: str | None, *, write: bool, advance: Callable[[int, int], None]) -> Rescored:
    """Score every rollout of ``database`` again that has its verdict from another scorer.

    Sessions are committed one by one, each whole: wherever the process ends, a session's verdicts are all of the scorer
    that it names, and the same call again goes on with the others.

    Args:
        database: the file.
        wanted: the scorer, as ``Judge.scorer`` reads it.
        write: store the new verdicts; else only compare.
        advance: told (rollouts compared now, rollouts to compare in all) after every batch; may raise, which leaves the
            session at hand as it was.

    Raises:
        StoreError: the file cannot be read or written, or holds nothing that a scorer could score.
        UsageError: a task of the file is not installed, or lacks the scorer.
    """
    if write and not database.exists():
        VerdictReader.open(database)  # raises: a writer would make the file
    with (VerdictWriter if write else VerdictReader).open(database) as store:
        found = [session for session in store.sessions() if session.rollouts]
        sessions = [session for session in found if not session.has_given_verdicts]
        if not sessions:
            held = "holds only rollouts that brought their verdicts" if found else "holds no rollout"
            raise StoreError(f"{database} {held}, so there is nothing to score; name another with --db")
        judge = Judge(store)
        meant = {session.id: _meant(store, judge, session, wanted) for session in sessions}
        owed = [session for session in sessions if meant[session.id] != session.scorer]
        total = sum(session.rollouts for session in owed)
        tallies: dict[int, _Tally] = {}
        for session in owed:
            scorer = meant[session.id]
            # Closed here, not when memory is tidied up: an error in this loop undoes the session's transaction.
            with closing(_compared(store, judge, session, scorer)) as compared:
                for batch, changes in compared:
                    tally = tallies.setdefault(batch[0].condition_id, _Tally(scorer))
                    tally.add(session.scorer, batch, changes)
                    advance(len(batch), total)
        conditions = {stored.id: stored for stored in store.conditions()}
    return Rescored(
        changes=tuple(tally.changes(conditions[id_]) for id_, tally in sorted(tallies.items())),
        sessions=len(owed),
        skipped=len(sessions) - len(owed),
        given=len(found) - len(sessions),
        written=write,
    )


def _meant(store: VerdictReader, judge: Judge, session: SessionRecord, wanted: str | None) -> str:
    """The scorer that a session's verdicts are to be of; a session is of one task, for its command named one."""
    (scorer,) = {judge.scorer(task, wanted, session.scorer) for task in store.tasks(session.id)}
    return scorer


def _compared(
    store: VerdictReader, judge: Judge, session: SessionRecord, scorer: str
) -> Generator[tuple[Sequence[ScoredText], list[Change]]]:
    """A session's rollouts in batches, each with its changes; stored, if the store can write, at the end."""
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
    """Counts of one condition, as ``VerdictChanges`` has them."""

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
    """Orders versions: numbers by size, and anything else before them."""
    version = scorer.partition("/")[2]
    return (int(version), "") if version.isdecimal() else (-1, version)
