"""The sampling loop: engine, scorer, store.

Rollouts are stored as they finish. An engine that batches has each batch committed at once; of one that keeps a window,
at most 2 seconds' worth or 512 rollouts are ever in memory uncommitted.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from esprobe.engines import Engine
from esprobe.errors import EngineError, StoreBusyError
from esprobe.sampling.observer import Observer, Progress
from esprobe.sampling.plan import Plan, Unit
from esprobe.sampling.stop import StopSignals
from esprobe.spec import Completion, Condition, Problem
from esprobe.store import NewRollout, RolloutWriter
from esprobe.store.storable import storable
from esprobe.store.writer import Cost
from esprobe.tasks import Task

COMMIT_ROLLOUTS = 512
COMMIT_SECONDS = 2.0
LOCKED_SECONDS = 300.0
"""How long a commit waits for another program's transaction before the run gives up."""

_JUDGE_AFTER = 50
_MOSTLY_CUT_OFF = 0.95


@dataclass
class Tally:
    """Running sums over one condition's stored rollouts."""

    rollouts: int
    correct: int
    cut_off: int
    warned: bool = False


class Loop:
    """Draws what a plan owes, with one engine, into one store, under one session."""

    def __init__(
        self,
        *,
        plan: Plan,
        engine: Engine,
        task: Task,
        scorer: str,
        store: RolloutWriter,
        session_id: int,
        observer: Observer,
        stop: StopSignals,
    ) -> None:
        self._plan = plan
        self._engine = engine
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
        self._unit: Unit | None = None  # the last one that a completion came from
        self._pending: list[NewRollout] = []
        self._costs: dict[int, Cost] = {}
        self._started = self._committed_at = time.monotonic()
        self.rollouts = 0
        self.tokens = 0

    def run(self) -> None:
        """Draw until nothing is owed or a stop is asked for; what has finished is stored however this ends."""
        try:
            for unit in self._plan.units():
                if self._stop():
                    return
                self._run_unit(unit)
        finally:
            self._commit()
            self._report()

    def _run_unit(self, unit: Unit) -> None:
        with self._weights(unit):
            for batch in self._plan.requests(unit, self._engine.batch_size):
                started, unanswered = time.monotonic(), len(batch)
                for completions in self._engine.generate(batch, self._stop):
                    self._spend(unit, generate_s=time.monotonic() - started)
                    self._receive(unit, completions)
                    unanswered -= len(completions)
                    started = time.monotonic()
                if self._stop():
                    return
                if unanswered:
                    raise EngineError(
                        f"the engine left {unanswered:,} of {len(batch):,} requests unanswered, so this run would be "
                        f"incomplete; what it answered is stored. Run the same command again to draw the rest"
                    )

    @contextmanager
    def _weights(self, unit: Unit) -> Iterator[None]:
        perturbation = unit.perturbation
        context = self._engine.perturbed(perturbation) if perturbation else nullcontext(0)
        started = time.monotonic()
        with context:
            self._spend(unit, switch_s=time.monotonic() - started)
            yield
            started = time.monotonic()
        self._spend(unit, switch_s=time.monotonic() - started)

    def _receive(self, unit: Unit, completions: list[Completion]) -> None:
        condition_id = unit.planned.condition_id
        tally = self._tallies[condition_id]
        for completion in map(_storable, completions):
            problem = self._problems[completion.request.problem_index]
            score = self._task.score(problem, completion.text, self._scorer)
            self._pending.append(NewRollout(condition_id, completion, score))
            tally.rollouts += 1
            tally.correct += score.correct
            tally.cut_off += completion.finish_reason == "length"
            self.tokens += completion.token_count
        if completions:
            self._unit = unit
        self.rollouts += len(completions)
        batched = self._engine.batch_size is not None
        due = time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if self._pending and (batched or due or len(self._pending) >= COMMIT_ROLLOUTS):
            self._commit()
            self._report()

    def _commit(self) -> None:
        if not (self._pending or self._costs):
            return
        patience = time.monotonic() + LOCKED_SECONDS
        told = False
        while True:
            try:
                # Cleared only after the commit: a second attempt stores the same rollouts, which is no conflict.
                self._store.add(self._session_id, self._pending, self._costs)
                break
            except StoreBusyError:
                if time.monotonic() > patience or self._stop():
                    raise
                if not told:
                    self._observer.notice(f"waiting: another program has locked {self._store.path}")
                told = True
        self._pending, self._costs = [], {}
        self._committed_at = time.monotonic()

    def _spend(self, unit: Unit, generate_s: float = 0.0, switch_s: float = 0.0) -> None:
        spent = self._costs.get(unit.planned.condition_id, Cost())
        self._costs[unit.planned.condition_id] = Cost(spent.generate_s + generate_s, spent.switch_s + switch_s)

    def _report(self) -> None:
        if self._unit is None:
            return
        tally = self._tallies[self._unit.planned.condition_id]
        self._observer.progress(
            Progress(
                done=self._plan.stored + self.rollouts,
                total=self._plan.total,
                elapsed_s=time.monotonic() - self._started,
                rollouts=self.rollouts,
                tokens=self.tokens,
                label=self._unit.planned.condition.label,
                pass_at_1=tally.correct / tally.rollouts,
                cut_off=tally.cut_off / tally.rollouts,
            )
        )
        for planned in self._plan.conditions:
            self._judge(planned.condition, self._tallies[planned.condition_id])

    def _judge(self, condition: Condition, tally: Tally) -> None:
        if not tally.warned and tally.rollouts >= _JUDGE_AFTER and tally.cut_off >= _MOSTLY_CUT_OFF * tally.rollouts:
            tally.warned = True
            reason = (
                "this sigma has very likely broken the model; stop with Ctrl-C and use a smaller --sigma"
                if condition.kind == "perturbation"
                else "the limit may be too low, or the model never ends its answer; check with a larger --max-tokens"
            )
            self._observer.warning(
                f"{tally.cut_off:,} of {tally.rollouts:,} completions of {condition.label} were cut off at "
                f"{condition.max_tokens} tokens: {reason}"
            )


def _storable(completion: Completion) -> Completion:
    """The completion as the file will hold it: before scoring, so that a verdict always belongs to the stored text."""
    text = storable(completion.text)
    return completion if text == completion.text else replace(completion, text=text)
