"""Which sigmas are given up (``--give-up-broken``): those whose first perturbations answer nothing.

A sigma is judged once, on the first ``PERTURBATIONS`` seeds that the command plans, when all of them and the greedy
baseline are complete on all problems. So the decision depends on stored rollouts alone, and a run that was killed
decides the same when it is resumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from esprobe.records.given_up import GivenUp
from esprobe.sampling.observer import Observer
from esprobe.sampling.plan import Plan
from esprobe.spec import BASELINE_SEED, Condition
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.store.given_up import Tally, tally
from esprobe.store.given_up_writer import give_up

PERTURBATIONS = 16
"""Perturbations that a sigma is judged on."""

BROKEN = 0.95
"""Share of completions that are cut off from which a sigma that solves nothing is broken."""


def can_break(condition: Condition) -> bool:
    """Whether a condition perturbs the weights, and so may be given up."""
    return condition.kind.shares_noise and bool(condition.sigma)


def baseline_of(condition: Condition) -> Condition:
    """The greedy baseline of a perturbed condition."""
    return replace(condition, sigma=None, noise=None, scope=None)


def is_broken(first: Tally, baseline: Tally) -> bool:
    """Whether a sigma answers nothing, and the model without noise does.

    Args:
        first: sums over its first perturbations, complete on all problems.
        baseline: those over the greedy baseline on the same problems.
    """
    return (
        first.correct == 0
        and first.cut_off >= BROKEN * first.rollouts
        and (baseline.cut_off < BROKEN * baseline.rollouts)
    )


def judged(
    store: RolloutStore, condition_id: int, baseline_id: int, problems: Sequence[int], seeds: Sequence[int]
) -> Tally | None:
    """The sums over the first perturbations of a broken sigma; None if it is not broken, or not complete enough.

    Args:
        store: the database.
        condition_id: the sigma's id.
        baseline_id: that of its greedy baseline.
        problems: indices of the planned problems, ascending.
        seeds: its planned seeds, ascending.
    """
    if len(seeds) < PERTURBATIONS:
        return None
    bounds = (problems[0], problems[-1] + 1)
    baseline = tally(store, baseline_id, *bounds, [BASELINE_SEED])
    if baseline.rollouts < len(problems):
        return None
    first = tally(store, condition_id, *bounds, seeds[:PERTURBATIONS])
    return first if first.rollouts == PERTURBATIONS * len(problems) and is_broken(first, baseline) else None


@dataclass
class _Watched:
    """A sigma that is not judged yet: its first seeds, and how many of their rollouts are owed."""

    seeds: frozenset[int]
    owed: int


class GivingUp:
    """Judges the sigmas of one plan, and takes the seeds of broken ones out of it."""

    def __init__(
        self, store: RolloutWriter, plan: Plan, problems: Sequence[int], where: str, observer: Observer
    ) -> None:
        """Count what is owed of the first seeds; warns of sigmas that cannot be judged.

        Args:
            store: the database.
            plan: what is sampled.
            problems: indices of the planned problems, ascending.
            where: what lacks a baseline that is neither stored nor planned: a command or its shard.
            observer: receives notices and warnings.
        """
        self._store, self._plan, self._problems, self._observer = store, plan, problems, observer
        self._watched: dict[int, _Watched] = {}
        self._baseline_id: int | None = None
        self._baseline_owed = 0
        sigmas = [one for one in plan.conditions if can_break(one.condition)]
        if not sigmas or not self._finds_baseline(baseline_of(sigmas[0].condition), where):
            return
        for planned in sigmas:
            first = plan.units_of(planned.condition_id)[:PERTURBATIONS]
            if len(first) < PERTURBATIONS:
                observer.warning(
                    f"--give-up-broken judges a sigma by {PERTURBATIONS} perturbations, and {len(first)} of "
                    f"{planned.condition.label} are planned here, so it will not be given up"
                )
                continue
            owed = sum(len(problems) - unit.stored for unit in first)
            self._watched[planned.condition_id] = _Watched(frozenset(unit.first_seed for unit in first), owed)

    def count(self, condition_id: int, seed: int) -> None:
        """Take note of a rollout that has its verdict."""
        if condition_id == self._baseline_id:
            self._baseline_owed -= 1
        elif (watched := self._watched.get(condition_id)) is not None and seed in watched.seeds:
            watched.owed -= 1

    @property
    def is_due(self) -> bool:
        """Whether a sigma can be judged once everything that was counted is committed."""
        return not self._baseline_owed and any(not watched.owed for watched in self._watched.values())

    def judge(self) -> None:
        """Judge the sigmas that can be judged: take what is not begun of broken ones out of the plan, and mark it."""
        if self._baseline_id is None or self._baseline_owed:
            return
        bounds = (self._problems[0], self._problems[-1] + 1)
        for planned in self._plan.conditions:
            watched = self._watched.get(planned.condition_id)
            if watched is None or watched.owed:
                continue
            del self._watched[planned.condition_id]
            first = judged(self._store, planned.condition_id, self._baseline_id, self._problems, sorted(watched.seeds))
            if first is None or not (left := self._plan.give_up(planned.condition_id)):
                continue
            give_up(self._store, planned.condition_id, GivenUp(*bounds, frozenset(left), first.rollouts, first.cut_off))
            self._observer.notice(
                f"{planned.condition.label} is given up: of {PERTURBATIONS} perturbations "
                f"{100 * first.cut_off / first.rollouts:.1f} % of the completions are cut off and none is correct; "
                f"{len(left):,} seed{'s' * (len(left) > 1)} will not be drawn (--give-up-broken)"
            )

    def _finds_baseline(self, baseline: Condition, where: str) -> bool:
        ids = {stored.condition.digest: stored.id for stored in self._store.conditions()}
        id_ = ids.get(baseline.digest)
        bounds = (self._problems[0], self._problems[-1] + 1)
        stored = 0 if id_ is None else tally(self._store, id_, *bounds, [BASELINE_SEED]).rollouts
        planned = id_ is not None and bool(self._plan.units_of(id_))
        if id_ is not None and (planned or stored == len(self._problems)):
            self._baseline_id, self._baseline_owed = id_, len(self._problems) - stored
            return True
        self._observer.warning(
            f"--give-up-broken compares with the greedy baseline, which {self._store.path} lacks for these problems "
            f"and {where} does not draw, so no sigma will be given up"
        )
        return False
