"""Scoring stored completion texts again; needs no engine and no model.

Owns which scorer is used, and the counts of changes. Does not know how a task scores, or how rollouts are stored.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import esprobe
from esprobe.errors import StoreError
from esprobe.maintenance.judging import Change, Judge, is_other_source
from esprobe.paths import kind_of
from esprobe.records import SessionRecord, StoredCondition, VerdictChanges
from esprobe.store.choice import Filters, selected
from esprobe.store.database import damaged
from esprobe.store.session_verdicts import ScoredText, VerdictReader, VerdictWriter
from esprobe.store.soundness import check_content
from esprobe.tasks import is_task_file, load_task
from esprobe.tasks.python_file import is_location


@dataclass(frozen=True)
class Rescored:
    """The result of rescoring a database.

    Attributes:
        changes: one for each condition with compared rollouts.
        sessions: number of sessions whose verdicts were compared.
        skipped: number of sessions whose verdicts were already by that scorer.
        given: number of imported sessions, which are not changed because their file contained the verdicts.
        written: whether the new verdicts were stored.
        edited: number of skipped sessions whose scorer's source has changed since.
    """

    changes: tuple[VerdictChanges, ...]
    sessions: int
    skipped: int
    given: int
    written: bool
    edited: int


def rescore(
    database: Path,
    wanted: str | None,
    *,
    write: bool,
    advance: Callable[[int, int], None],
    warn: Callable[[str], None],
    force: bool = False,
    filters: Filters = Filters(),  # noqa: B008 - it is frozen
) -> Rescored:
    """Score again every rollout of ``database`` whose verdict is by another scorer.

    Each session is one transaction: even if the process is killed, all verdicts of a session are by the scorer that the
    session names, and the same call again continues with the remaining sessions.

    Args:
        database: the database file.
        wanted: the scorer, as for ``Judge.scorer``, or ``FILE.py:NAME``.
        write: whether to store the new verdicts.
        advance: called with (rollouts compared now, rollouts to compare in total) after every batch; if it raises, the
            current session is unchanged.
        warn: called with the first text on which a scorer fails.
        force: whether to score again what that scorer has scored, too: its source may have changed.
        filters: which conditions to score; a session has one task and one model. A task file scores those of its task,
            wherever it lay when they were sampled.

    Raises:
        StoreError: the file cannot be read or written, is damaged, or contains no rollouts that could be scored.
        UsageError: a task in the file is not installed, or does not have the scorer; a filter fits nothing.
    """
    given = None
    if filters.task is not None and (is_task_file(filters.task) or is_location(filters.task)):
        given = load_task(filters.task)
        filters = replace(filters, task=given.name)
    if write and kind_of(database) == "nothing":
        VerdictReader.open(database)  # raises; a writer would create the file
    with ExitStack() as stack:
        store = stack.enter_context((VerdictWriter if write else VerdictReader).open(database))
        sampled = [session for session in _sessions(store, filters) if session.rollouts]
        sessions = [session for session in sampled if not session.has_given_verdicts]
        if not sessions:
            content = "only imported rollouts, whose file contained the verdicts" if sampled else "no rollouts"
            raise StoreError(f"{database} contains {content}, so there is nothing to score; use another with --db")
        judge = stack.enter_context(Judge(store, warn, given))
        scorers = {session.id: _target(store, judge, session, wanted) for session in sessions}
        outdated = [session for session in sessions if force or scorers[session.id].stored_name != session.scorer]
        edited = [
            session for session in sessions if session not in outdated and scorers[session.id].has_changed(session)
        ]
        if outdated:
            # New verdicts bring the recorded sums up to date: after that nobody could tell that old ones had changed.
            check_content(store)
        total = sum(session.rollouts for session in outdated)
        tallies: dict[int, _Tally] = {}
        for session in outdated:
            target = scorers[session.id]
            # Closed here, not by the garbage collector: an error in this loop must roll back the transaction at once.
            with closing(_compared(store, judge, session, target)) as compared:
                for batch, changes in compared:
                    tally = tallies.setdefault(batch[0].condition_id, _Tally(target.stored_name))
                    tally.add(session.scorer, batch, changes)
                    advance(len(batch), total)
        conditions = {stored.id: stored for stored in store.conditions()}
    return Rescored(
        changes=tuple(tally.changes(conditions[id_]) for id_, tally in sorted(tallies.items())),
        sessions=len(outdated),
        skipped=len(sessions) - len(outdated),
        given=len(sampled) - len(sessions),
        written=write,
        edited=len(edited),
    )


def _sessions(store: VerdictReader, filters: Filters) -> list[SessionRecord]:
    if not filters:
        return store.sessions()
    wanted = {session.id for one in selected(store, store.conditions(), filters) for session in store.sessions(one.id)}
    return [session for session in store.sessions() if session.id in wanted]


@dataclass(frozen=True)
class _Target:
    """The scorer to use for a session.

    Attributes:
        scorer: as ``Judge`` knows it.
        stored_name: as the database names it.
        digest: of its source; None of a built-in one.
    """

    scorer: str
    stored_name: str
    digest: str | None

    def has_changed(self, session: SessionRecord) -> bool:
        """Whether its source is another one than when it scored a session."""
        return is_other_source(self.digest, session)


def _target(store: VerdictReader, judge: Judge, session: SessionRecord, wanted: str | None) -> _Target:
    """A session has exactly one task, because a command samples one."""
    tasks = store.tasks(session.id)
    if not tasks:
        reason = f"session {session.id} has {session.rollouts:,} rollouts, and nothing says of which condition"
        raise StoreError(damaged(store.path, reason))
    (task,) = tasks
    scorer = judge.scorer(task, wanted, session.scorer)
    return _Target(scorer, judge.stored_name(scorer), judge.digest(task, scorer))


def _compared(
    store: VerdictReader, judge: Judge, session: SessionRecord, target: _Target
) -> Generator[tuple[Sequence[ScoredText], list[Change]]]:
    """A session's rollouts in batches, each with its changes; a ``VerdictWriter`` stores the changes."""
    if not isinstance(store, VerdictWriter):
        with closing(store.scored_texts(session.id)) as batches:
            for batch in batches:
                yield batch, judge.changes(batch, target.scorer)
        return
    with store.replacing(session.id) as verdicts:
        for batch in verdicts.scored_texts():
            changes = judge.changes(batch, target.scorer)
            verdicts.replace(changes)
            yield batch, changes
        now = datetime.now(UTC).isoformat(timespec="seconds")
        name = target.stored_name
        verdicts.name_scorer(
            name, target.digest, f"{session.scorer} to {name} by esprobe {esprobe.__version__} at {now}"
        )


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
