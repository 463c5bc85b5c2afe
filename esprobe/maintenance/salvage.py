"""Builds a sound database from what a damaged one still holds: rollouts whose key and text are whole, scored again.

Owns which verdicts are computed again, and the account of what was kept. Does not know how rows are read from a damaged
file, or written.
"""

import errno
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from esprobe.atomic_file import replacing
from esprobe.errors import StoreError, TaskError, UsageError
from esprobe.maintenance.judging import Judge
from esprobe.paths import check_output, kind_of
from esprobe.records import GIVEN, StoredCondition, Totals
from esprobe.store.damaged_file import DamagedFile, FoundRollout
from esprobe.store.database import cause_of, check_path
from esprobe.store.lock import writer_of
from esprobe.store.salvaging import SalvageWriter
from esprobe.store.session_verdicts import ScoredText
from esprobe.tasks import load_task

BATCH = 4096
"""Rollouts written together."""


@dataclass(frozen=True)
class SalvagedCondition:
    """What became of one condition.

    Attributes:
        condition: with its id, which stays the same.
        kept: rollouts in the new database.
        recorded: rollouts that the damaged file had, by its own count; None if that is lost.
        corrected: rollouts whose stored verdict was not the one that their scorer gives their text.
        recorded_tokens: their tokens, by its own count; None if that is lost.
        kept_tokens: tokens of the rollouts in the new database.
        is_whole: whether the kept rollouts match the sums recorded before the damage, so that none is missing or wrong.
    """

    condition: StoredCondition
    kept: int
    recorded: int | None
    corrected: int
    recorded_tokens: int | None
    kept_tokens: int
    is_whole: bool

    @property
    def has_wrong_tokens(self) -> bool:
        """Whether the lost rollouts cannot make up for the difference in tokens: a count, or the sum, has changed."""
        if self.recorded is None or self.recorded_tokens is None:
            return False
        lost, missing = max(self.recorded - self.kept, 0), self.recorded_tokens - self.kept_tokens
        most = self.condition.condition.max_tokens  # 0 if imported: not known
        return missing < 0 or (not lost and missing > 0) or (most > 0 and missing > lost * most)


@dataclass(frozen=True)
class Salvaged:
    """What came of it.

    Attributes:
        conditions: those that could be read.
        dropped: rollouts that were found and not kept, by (condition id or None, why).
        pages: pages of the damaged file.
        foreign_log: why the write-ahead log beside it was not read; None if it was, or there is none.
        unscored: (task, scorer) whose verdicts were kept as they were, because the task or scorer is not available.
        failures: the first text on which each scorer failed.
    """

    conditions: tuple[SalvagedCondition, ...]
    dropped: dict[tuple[int | None, str], int]
    pages: int
    foreign_log: str | None
    unscored: tuple[tuple[str, str], ...]
    failures: tuple[str, ...]


def salvage(database: Path, into: Path, command: str) -> Salvaged:
    """Copy every whole rollout of ``database``, which is only read, into the new database ``into``.

    Args:
        database: the damaged file.
        into: must not exist; does not stay if this raises.
        command: as typed, for the record.

    Raises:
        StoreError: the file cannot be read, is being written, or holds no condition; ``into`` cannot be written.
        UsageError: ``into`` exists.
    """
    check_path(database, "read")
    target = check_output(into, "the new database", "name another one with --into")
    if kind_of(into) != "nothing":
        raise UsageError(f"--into {into} exists, and salvage writes a new database; name another file")
    if (holder := writer_of(database)) is not None:
        raise StoreError(f"{database} is being written by {holder}, so its pages change; wait until that has ended")
    try:
        with DamagedFile(database) as source:
            if not source.conditions:
                raise StoreError(
                    f"none of the {source.page_count:,} pages of {database} and its log holds a whole condition, so "
                    f"nobody can say of what its rollouts are; look for a backup"
                )
            return _written(source, target, command)
    except OSError as err:
        raise StoreError(
            f"{database} cannot be read ({err.strerror}); copy it to another disk as far as it can be read, and "
            f"salvage the copy"
        ) from err


def _written(source: DamagedFile, target: Path, command: str) -> Salvaged:
    """Write the new database.

    Raises:
        OSError: the damaged file cannot be read.
        StoreError: the new database cannot be written; the message does not name the draft that it is written under.
    """
    try:
        with replacing(target) as draft:
            try:
                with SalvageWriter.open(draft) as writer, ExitStack() as stack:
                    return _Salvage(source, writer, command, stack).run()
            except StoreError as err:
                if str(draft) not in str(err):
                    raise
                cause = cause_of(err)
                known = "the disk is full" if cause == "full disk" else None if draft.exists() else "it was deleted"
                if known is None:  # of what was copied as it was found, if it is not SQLite's
                    named = target if cause == "SQLite" else source.path
                    raise StoreError(str(err).replace(str(draft), str(named))) from err
                _remove_rescued(draft)
                raise _unwritten(target, known) from err
    except OSError as err:
        if err.errno == errno.EIO:
            raise
        raise _unwritten(target, str(err.strerror)) from err


def _remove_rescued(draft: Path) -> None:
    """Remove what the writer saved of a draft that was deleted under it: the damaged file still has it all."""
    for folder in (draft.parent, Path.cwd(), Path(tempfile.gettempdir())):
        for left in folder.glob(f"{draft.stem}.rescued-*"):  # no other file has the draft's random name
            left.unlink()


def _unwritten(target: Path, reason: str) -> StoreError:
    return StoreError(
        f"the new database cannot be written to {target} ({reason}), and nothing of it was kept; the damaged one is "
        f"unchanged. Free some space or name another place with --into"
    )


class _Salvage:
    def __init__(self, source: DamagedFile, target: SalvageWriter, command: str, stack: ExitStack) -> None:
        self._source = source
        self._target = target
        self._conditions = source.conditions
        session = target.copy_small_tables(source, command, self._default_scorer())
        self._own_session = session
        self._scorers = {stored.id: stored.scorer for stored in target.sessions()}
        self._failures: dict[str, None] = {}
        self._judge = stack.enter_context(Judge(target, self._failures.setdefault))
        self._known: dict[tuple[str, str], bool] = {}
        self._corrected: Counter[int] = Counter()

    def run(self) -> Salvaged:
        found = self._source.rollouts()
        contradicted: set[int] = set()
        while batch := list(islice(found, BATCH)):
            for rollout in self._target.add_found(
                [self._judged(one) for one in batch if one.completion_id not in contradicted]
            ):
                contradicted |= {rollout.completion_id, self._target.completion_of(rollout) or rollout.completion_id}
                self._source.dropped[rollout.condition_id, "another rollout has its key or its text"] += 1
        for condition_id, _, _ in self._target.remove(sorted(contradicted)):
            self._source.dropped[condition_id, "another rollout has its key or its text"] += 1
        self._target.recount_sessions()
        self._target.restore_iterations(self._source)
        self._target.end_session(self._own_session, "done")
        conditions = tuple(self._account(stored) for stored in self._target.conditions())
        for one in conditions:
            if one.recorded is None or one.kept < one.recorded:
                self._target.reopen_sessions(one.condition.id)
        return Salvaged(
            conditions=conditions,
            dropped=dict(sorted(self._source.dropped.items(), key=str)),
            pages=self._source.page_count,
            foreign_log=self._source.foreign_log,
            failures=tuple(self._failures),
            unscored=tuple(sorted(key for key, is_known in self._known.items() if not is_known)),
        )

    def _judged(self, rollout: FoundRollout) -> FoundRollout:
        """With the session that it is stored under, and the verdict of that session's scorer."""
        session = rollout.session_id if rollout.session_id in self._source.sessions else self._own_session
        scorer, task = self._scorers[session], self._conditions[rollout.condition_id].condition.task
        score = rollout.score
        if scorer != GIVEN and self._can_score(task, scorer):
            text = ScoredText(*rollout[:3], rollout.text, rollout.score)
            score = self._judge.verdict(text, scorer)
            self._corrected[rollout.condition_id] += score != rollout.score
        return rollout._replace(session_id=session, score=score)

    def _can_score(self, task: str, scorer: str) -> bool:
        key = (task, scorer)
        if key not in self._known:
            self._known[key] = False
            with suppress(UsageError, TaskError):  # told at the end: the verdicts stay as they were
                self._known[key] = self._judge.scorer(task, scorer, scorer) == scorer
        return self._known[key]

    def _default_scorer(self) -> str:
        tasks = {stored.condition.task for stored in self._conditions.values()}
        for task in sorted(tasks):
            with suppress(UsageError, TaskError):
                return load_task(task).scorers[0]
        return GIVEN

    def _account(self, stored: StoredCondition) -> SalvagedCondition:
        totals, recorded = self._target.totals(stored.id), self._source.totals.get(stored.id)
        return SalvagedCondition(
            condition=stored,
            kept=totals.rollouts,
            recorded=None if recorded is None else recorded.rollouts,
            corrected=self._corrected[stored.id],
            recorded_tokens=None if recorded is None else recorded.tokens,
            kept_tokens=totals.tokens,
            is_whole=recorded is not None and _sums(recorded) == _sums(totals),
        )


def _sums(totals: Totals) -> tuple[int | None, ...]:
    return totals.rollouts, totals.correct, totals.tokens, totals.cut_off, totals.checksum
