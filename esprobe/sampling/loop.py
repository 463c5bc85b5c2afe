"""The sampling loop: pool, scorer, store.

Rollouts are stored as they finish. An engine that batches has each batch committed at once; of one that keeps a window,
at most 2 seconds' worth or 512 rollouts are ever in memory uncommitted.
"""

import gc
import time
from dataclasses import dataclass

from esprobe.errors import StoreBusyError
from esprobe.sampling.observer import Observer, Progress
from esprobe.sampling.plan import Plan
from esprobe.sampling.stop import StopSignals
from esprobe.spec import Completion, Condition, Problem
from esprobe.store import NewRollout, RolloutWriter
from esprobe.store.storable import storable
from esprobe.store.writer import Cost
from esprobe.tasks import Task
from esprobe.workers.pool import WorkerPool
from esprobe.workers.work import Delivery, Work

COMMIT_ROLLOUTS = 512
COMMIT_SECONDS = 2.0
LOCKED_SECONDS = 300.0
"""How long commits wait for another program's transaction before the run gives up; the last one does not wait anew."""

_JUDGE_AFTER = 50
_JUDGE_AT_THE_END_AFTER = 8  # fewer are judged where no more will come: a probe that is all cut off is no probe
_MOSTLY_CUT_OFF = 0.95
_HALF_CUT_OFF = 0.5  # of the baseline: then it is not a perturbation that keeps the model from ending


@dataclass
class Tally:
    """Running sums over one condition's stored rollouts."""

    rollouts: int
    correct: int
    cut_off: int
    warned: bool = False


class Loop:
    """Draws what a plan owes, with one pool, into one store, under one session."""

    def __init__(
        self,
        *,
        plan: Plan,
        pool: WorkerPool,
        task: Task,
        scorer: str,
        store: RolloutWriter,
        session_id: int,
        observer: Observer,
        stop: StopSignals,
    ) -> None:
        self._plan = plan
        self._pool = pool
        self._batched = pool.ready.batch_size is not None
        self._task = task
        self._scorer = scorer
        self._store = store
        self._session_id = session_id
        self._observer = observer
        self._stop = stop
        self._problems: dict[int, Problem] = {problem.index: problem for problem in task.problems}
        self._tallies: dict[int, Tally] = {}
        for planned in plan.conditions:
            totals = store.totals(planned.condition_id)
            self._tallies[planned.condition_id] = Tally(totals.rollouts, totals.correct, totals.cut_off)
        self._work: Work | None = None  # the last one that a completion came from
        self._pending: list[NewRollout] = []
        self._costs: dict[int, Cost] = {}
        self._recorded = 0  # workers whose hardware the session names
        self._locked_at: float | None = None  # since when another program has kept the file from us
        self._started = self._committed_at = time.monotonic()
        self.rollouts = 0
        self.tokens = 0

    def run(self) -> None:
        """Draw until nothing is owed or a stop is asked for; what has finished is stored however this ends."""
        gc.freeze()  # model, problems and modules stay: millions of rollouts should not have them searched for garbage
        try:
            works = self._plan.works(self._pool.ready.batch_size, self._pool.size)
            for work, delivery in self._pool.draw(works, self._stop):
                self._receive(work, delivery)
        finally:
            gc.unfreeze()
            self._commit()
            self._report()
            if self._work is not None:
                self._judge_all(_JUDGE_AT_THE_END_AFTER)

    def _receive(self, work: Work, delivery: Delivery) -> None:
        spent = self._costs.get(work.condition_id, Cost())
        self._costs[work.condition_id] = Cost(
            spent.generate_s + delivery.generate_s, spent.switch_s + delivery.switch_s
        )
        tally = self._tallies[work.condition_id]
        for completion in map(_storable, delivery.completions):
            problem = self._problems[completion.request.problem_index]
            score = self._task.score(problem, completion.text, self._scorer)
            self._pending.append(NewRollout(work.condition_id, completion, score))
            tally.rollouts += 1
            tally.correct += score.correct
            tally.cut_off += completion.finish_reason == "length"
            self.tokens += completion.token_count
        if delivery.completions:
            self._work = work
        self.rollouts += len(delivery.completions)
        due = time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if self._pending and (self._batched or due or len(self._pending) >= COMMIT_ROLLOUTS):
            self._commit()
            self._report()

    def _commit(self) -> None:
        if not (self._pending or self._costs):
            return
        while True:
            try:
                self._record_workers()
                # Cleared only after the commit: a second attempt stores the same rollouts, which is no conflict.
                self._store.add(self._session_id, self._pending, self._costs)
                break
            except StoreBusyError:
                if self._locked_at is None:
                    self._locked_at = time.monotonic()
                    self._observer.notice(f"waiting: another program has locked {self._store.path}")
                if time.monotonic() - self._locked_at > LOCKED_SECONDS or self._stop():
                    raise
        self._locked_at = None
        self._pending, self._costs = [], {}
        self._committed_at = time.monotonic()

    def _record_workers(self) -> None:
        """Name in the session the workers that have joined since it was last asked; some join while others draw."""
        if (joined := len(self._pool.joined)) > self._recorded:
            self._store.record_workers(self._session_id, [ready.record for ready in self._pool.joined[:joined]])
            self._recorded = joined

    def _report(self) -> None:
        if self._work is None:
            return
        tally = self._tallies[self._work.condition_id]
        self._observer.progress(
            Progress(
                done=self._plan.stored + self.rollouts,
                total=self._plan.total,
                elapsed_s=time.monotonic() - self._started,
                rollouts=self.rollouts,
                tokens=self.tokens,
                label=self._work.condition.label,
                pass_at_1=tally.correct / tally.rollouts,
                cut_off=tally.cut_off / tally.rollouts,
                workers=self._pool.size,
            )
        )
        self._judge_all(_JUDGE_AFTER)

    def _judge_all(self, least: int) -> None:
        for planned in self._plan.conditions:
            tally = self._tallies[planned.condition_id]
            if not tally.warned and tally.rollouts >= least and tally.cut_off >= _MOSTLY_CUT_OFF * tally.rollouts:
                tally.warned = True
                self._warn(planned.condition, tally)

    def _warn(self, condition: Condition, tally: Tally) -> None:
        baseline_too = ""
        reason = "the limit may be too low, or the model never ends its answer; check with a larger --max-tokens"
        if condition.kind.shares_noise:
            baseline = self._baseline()
            if baseline is None:
                reason = (
                    "this sigma has very likely broken the model, unless the limit is too low for it unperturbed too, "
                    "which the greedy baseline would tell"
                )
            elif baseline.cut_off < _HALF_CUT_OFF * baseline.rollouts:
                reason = (
                    "this sigma has very likely broken the model, and more rollouts under it would tell nothing; use a "
                    "smaller sigma"
                )
            else:
                baseline_too = f", as were {baseline.cut_off:,} of {baseline.rollouts:,} of the unperturbed model"
        self._observer.warning(
            f"{tally.cut_off:,} of {tally.rollouts:,} completions of {condition.label} were cut off at "
            f"{condition.max_tokens} tokens{baseline_too}: {reason}"
        )

    def _baseline(self) -> Tally | None:
        """The greedy baseline's sums, if enough of it is stored to judge by."""
        for planned in self._plan.conditions:
            tally = self._tallies[planned.condition_id]
            if not planned.condition.kind.is_sampled and tally.rollouts >= _JUDGE_AT_THE_END_AFTER:
                return tally
        return None


def _storable(completion: Completion) -> Completion:
    """The completion as the file will hold it: before scoring, so that a verdict always belongs to the stored text."""
    text = storable(completion.text)
    return completion if text == completion.text else completion._replace(text=text)
