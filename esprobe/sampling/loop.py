"""The sampling loop: workers generate, the scorer scores, the store commits.

Rollouts are stored as they finish. An engine with batches has each batch committed at once; with an engine that keeps
its own window, at most 2 seconds' worth or 512 rollouts are in memory uncommitted.
"""

import gc
import time
from collections.abc import Iterable
from dataclasses import dataclass

from esprobe.errors import DatabaseLostError, StoppedError, StoreBusyError
from esprobe.sampling.giving_up import GivingUp
from esprobe.sampling.observer import Observer, Progress
from esprobe.sampling.plan import SamplingPlan
from esprobe.sampling.stop import StopSignals
from esprobe.spec import Completion, Condition, Problem, Score
from esprobe.store import NewRollout, RolloutWriter
from esprobe.store.storable import storable
from esprobe.store.writer import EngineTime
from esprobe.tasks.scoring import Scoring
from esprobe.workers.pool import WorkerPool
from esprobe.workers.work import Delivery, Work

COMMIT_ROLLOUTS = 512
COMMIT_SECONDS = 2.0
SCORING_S = 60.0
"""How long a run that was stopped or failed waits for verdicts; what has none then is drawn again by the next run."""

_POLL_S = 0.5

LOCKED_SECONDS = 300.0
"""How long commits wait for another program's transaction before the run fails; the last commit shares the limit."""

_CHECK_AFTER = 50
_CHECK_AT_END_AFTER = 8  # fewer rollouts are enough at the end, when no more will come
_MOSTLY_CUT_OFF = 0.95
_HALF_CUT_OFF = 0.5  # share of the baseline from which a perturbation is not the only cause


Unscored = tuple[Work, Completion]
"""A completion whose verdict is asked for, and the work that it is of."""


@dataclass
class ConditionSums:
    """Running sums over the stored rollouts of one condition."""

    rollouts: int
    correct: int
    cut_off: int
    warned: bool = False


class Loop:
    """Samples the missing rollouts of a plan with one pool, into one store, as one session."""

    def __init__(
        self,
        *,
        plan: SamplingPlan,
        pool: WorkerPool,
        problems: Iterable[Problem],
        scoring: "Scoring[Unscored]",
        store: RolloutWriter,
        session_id: int,
        observer: Observer,
        stop: StopSignals,
        giving_up: GivingUp | None = None,
    ) -> None:
        self._plan = plan
        self._pool = pool
        self._batched = pool.ready.batch_size is not None
        self._scoring = scoring
        self._store = store
        self._session_id = session_id
        self._observer = observer
        self._stop = stop
        self._giving_up = giving_up
        self._problems: dict[int, Problem] = {problem.index: problem for problem in problems}
        self._sums: dict[int, ConditionSums] = {}
        for planned in plan.conditions:
            totals = store.totals(planned.condition_id)
            self._sums[planned.condition_id] = ConditionSums(totals.rollouts, totals.correct, totals.cut_off)
        self._work: Work | None = None  # the work of the last completion with a verdict
        self._pending: list[NewRollout] = []
        self._costs: dict[int, EngineTime] = {}
        self._recorded = 0  # number of workers whose hardware the session records
        self._locked_at: float | None = None  # when another program's lock first made a commit wait
        self._started = self._committed_at = time.monotonic()
        self.rollouts = 0
        self.tokens = 0

    def run(self) -> None:
        """Sample until nothing is missing or a stop is requested; finished rollouts are stored even if this raises."""
        gc.freeze()  # long-lived objects: garbage collection should not scan them again and again
        try:
            works = self._plan.works(self._pool.ready.batch_size, self._pool.size)
            for work, delivery in self._pool.draw(works, self._stop):
                self._receive(work, delivery)
            while self._scoring.waiting and not self._stop():
                self._accept(self._scoring.rest(_POLL_S))
                self._commit_if_due()
        finally:
            gc.unfreeze()
            self._accept(self._scoring.rest(SCORING_S))
            self._commit()
            self._report()
            if self._work is not None:
                self._check_cut_off(_CHECK_AT_END_AFTER)

    def _receive(self, work: Work, delivery: Delivery) -> None:
        spent = self._costs.get(work.condition_id, EngineTime())
        self._costs[work.condition_id] = EngineTime(
            spent.generate_s + delivery.generate_s, spent.switch_s + delivery.switch_s
        )
        for completion in map(_storable, delivery.completions):
            problem = self._problems[completion.request.problem_index]
            self._scoring.submit((work, completion), problem, completion.text)
        self._accept(self._scoring.finished())
        if self._giving_up is not None and self._giving_up.is_due:
            self._commit()  # it judges what is stored, so that a resumed run decides the same
            self._giving_up.judge()
        self._commit_if_due()

    def _commit_if_due(self) -> None:
        due = time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if self._pending and (self._batched or due or len(self._pending) >= COMMIT_ROLLOUTS):
            self._commit()
            self._report()

    def _accept(self, scored: Iterable[tuple[Unscored, Score]]) -> None:
        """Take completions that have their verdicts."""
        for (work, completion), score in scored:
            sums = self._sums[work.condition_id]
            self._pending.append(NewRollout(work.condition_id, completion, score))
            if self._giving_up is not None:
                self._giving_up.count(work.condition_id, completion.request.seed)
            sums.rollouts += 1
            sums.correct += score.correct
            sums.cut_off += completion.finish_reason == "length"
            self.tokens += completion.token_count
            self.rollouts += 1
            self._work = work

    def _commit(self) -> None:
        if not (self._pending or self._costs):
            return
        while True:
            try:
                self._record_workers()
                # Cleared only after the commit, so that a second attempt stores the same rollouts.
                self._store.add(self._session_id, self._pending, self._costs)
                break
            except DatabaseLostError:
                self._pending, self._costs = [], {}  # committed and saved as the error says, or owed again
                raise
            except StoreBusyError as err:
                if self._locked_at is None:
                    self._locked_at = time.monotonic()
                    self._observer.notice(f"waiting: another program has locked {self._store.path}")
                if self._stop():
                    raise self._stopped_by_lock() from err
                if time.monotonic() - self._locked_at > LOCKED_SECONDS:
                    raise
        self._locked_at = None
        self._pending, self._costs = [], {}
        self._committed_at = time.monotonic()

    def _stopped_by_lock(self) -> StoppedError:
        """Give up what is not stored: who stopped the run does not wait for the other program."""
        unstored, self._pending, self._costs = len(self._pending), [], {}
        return self._stop.while_locked(self._store.path, f"{unstored:,} rollouts")

    def _record_workers(self) -> None:
        """Record in the session the workers that joined since the last call; some join while others already sample."""
        if (joined := len(self._pool.joined)) > self._recorded:
            self._store.record_workers(self._session_id, [ready.record for ready in self._pool.joined[:joined]])
            self._recorded = joined

    def _report(self) -> None:
        if self._work is None:
            return
        sums = self._sums[self._work.condition_id]
        self._observer.progress(
            Progress(
                done=self._plan.stored + self.rollouts,
                total=self._plan.total,
                elapsed_s=time.monotonic() - self._started,
                rollouts=self.rollouts,
                tokens=self.tokens,
                label=self._work.condition.label,
                pass_at_1=sums.correct / sums.rollouts,
                cut_off=sums.cut_off / sums.rollouts,
                workers=self._pool.size,
            )
        )
        self._check_cut_off(_CHECK_AFTER)

    def _check_cut_off(self, least: int) -> None:
        for planned in self._plan.conditions:
            sums = self._sums[planned.condition_id]
            if not planned.condition.kind.is_listed:
                continue  # one iteration of a training run, which is watched as a whole
            if not sums.warned and sums.rollouts >= least and sums.cut_off >= _MOSTLY_CUT_OFF * sums.rollouts:
                sums.warned = True
                self._warn(planned.condition, sums)

    def _warn(self, condition: Condition, sums: ConditionSums) -> None:
        baseline_too = ""
        reason = "the limit may be too low, or the model never ends its answer; check with a larger --max-tokens"
        if condition.kind.shares_noise:
            baseline = self._baseline()
            if baseline is None:
                reason = (
                    "this sigma has very likely broken the model, unless the limit is too low for the unperturbed "
                    "model too; sample with --baseline to find out"
                )
            elif baseline.cut_off < _HALF_CUT_OFF * baseline.rollouts:
                reason = (
                    "this sigma has very likely broken the model, so more rollouts are a waste; use a smaller sigma"
                )
            else:
                baseline_too = f", as were {baseline.cut_off:,} of {baseline.rollouts:,} of the unperturbed model"
        self._observer.warning(
            f"{sums.cut_off:,} of {sums.rollouts:,} completions of {condition.label} were cut off at "
            f"{condition.max_tokens} tokens{baseline_too}: {reason}"
        )

    def _baseline(self) -> ConditionSums | None:
        """The sums of the greedy baseline, if enough of it is stored."""
        for planned in self._plan.conditions:
            sums = self._sums[planned.condition_id]
            if not planned.condition.kind.is_sampled and sums.rollouts >= _CHECK_AT_END_AFTER:
                return sums
        return None


def _storable(completion: Completion) -> Completion:
    """The completion as the database stores it; applied before scoring, so that the verdict is of the stored text."""
    text = storable(completion.text)
    return completion if text == completion.text else completion._replace(text=text)
