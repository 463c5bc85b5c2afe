"""The populations of training runs: what they spent, and how well they did on the training problems."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.training_material import Material
from esprobe.records import StoredCondition
from esprobe.results.training_selection import PopulationMean, Spent
from esprobe.stats.training_contrast import Estimate, rise
from esprobe.store import RolloutStore, tallies
from esprobe.store.training import population_size, seed_totals


@dataclass(frozen=True, eq=False)
class Populations:
    """The iterations that every run of one recipe has finished, mean of the runs.

    Attributes:
        cumulative: what was spent before iteration 0, 1, ..., and after the last one.
        accuracies: share of correct rollouts of each iteration's population; None if they are missing.
        fitnesses: (R, N) fitness of each member, for each iteration.
        first: accuracy of each member of the first pass through the training problems.
        last: of the last pass; both empty if there are not two.
    """

    cumulative: tuple[Spent, ...]
    accuracies: tuple[float | None, ...]
    fitnesses: tuple[NDArray[np.float64], ...]
    first: tuple[float, ...]
    last: tuple[float, ...]

    @classmethod
    def read(cls, store: RolloutStore, known: Sequence[StoredCondition], material: Material) -> "Populations":
        """Read them.

        Args:
            store: the database.
            known: its conditions.
            material: the runs.
        """
        digests = {run.digest for run in material.runs}
        by_iteration: dict[int, list[int]] = {}
        for one in known:
            if one.condition.run in digests and one.condition.iteration is not None:
                by_iteration.setdefault(one.condition.iteration, []).append(one.id)
        numbers = range(material.iterations)
        cumulative: list[Spent] = [Spent(0, 0, 0.0)]
        accuracies: list[float | None] = []
        for number in numbers:
            step, accuracy = _spent(store, by_iteration.get(number, ()), population_size(material.runs[0]))
            cumulative.append(_sum(cumulative[-1], step))
            accuracies.append(accuracy)
        fitnesses = [[[one.fitness for one in run.iterations[i].members] for run in material.runs] for i in numbers]
        passes = -(-len(material.training) // material.runs[0].recipe["problems_per_iteration"])

        def accuracies_in(some: range) -> tuple[float, ...]:
            totals = (seed_totals(store, id_) for number in some for id_ in by_iteration.get(number, ()))
            return tuple(seed.correct / seed.rollouts for one in totals for seed in one.values())

        several = len(numbers) >= 2 * passes
        return cls(
            cumulative=tuple(cumulative),
            accuracies=tuple(accuracies),
            fitnesses=tuple(map(np.array, fitnesses)),
            first=accuracies_in(numbers[:passes]) if several else (),
            last=accuracies_in(numbers[-passes:]) if several else (),
        )

    def spent(self, iteration: int) -> Spent:
        """What the first iterations spent, as many as ``iteration``."""
        return self.cumulative[iteration]

    def means(self) -> tuple[PopulationMean, ...]:
        """Each iteration's population, if it is stored."""
        found = zip(self.cumulative[1:], self.accuracies, self.fitnesses, strict=True)
        return tuple(
            PopulationMean(
                number,
                spent,
                accuracy,
                fitness=float(members.mean()),
                spread=float(members.std(axis=1).mean()),
                best=float(members.max(axis=1).mean()),
            )
            for number, (spent, accuracy, members) in enumerate(found)
            if accuracy is not None
        )

    def rise(self) -> Estimate | None:
        """How much the accuracy on training problems rose from the first to the last pass through them."""
        return rise(self.first, self.last) if len(self.first) > 1 and len(self.last) > 1 else None


def _spent(store: RolloutStore, ids: Sequence[int], rollouts: int) -> tuple[Spent, float | None]:
    """What an iteration of one run spent, the mean of all runs, and the share of its rollouts that is correct.

    Args:
        store: the database.
        ids: the conditions of the iteration's populations.
        rollouts: of one population.
    """
    totals = [store.totals(id_) for id_ in ids]
    stored = sum(one.rollouts for one in totals)
    if not stored:  # a salvaged file may lack them, and still know that they were drawn
        return Spent(rollouts, None, None), None
    seconds: float | None = 0.0
    for one, spending in zip(totals, (tallies.spending(store, id_) for id_ in ids), strict=True):
        if seconds is None or not spending.rollouts:
            seconds = None
        else:  # some of its sessions may have recorded no times
            seconds += (spending.generate_s + spending.switch_s) / spending.rollouts * one.rollouts
    each = rollouts / stored
    tokens = sum(one.tokens for one in totals) * each
    spent = Spent(rollouts, tokens, None if seconds is None else seconds * each)
    return spent, sum(one.correct for one in totals) / stored


def _sum(before: Spent, step: Spent) -> Spent:
    tokens = None if before.tokens is None or step.tokens is None else before.tokens + step.tokens
    seconds = None if before.seconds is None or step.seconds is None else before.seconds + step.seconds
    return Spent(before.rollouts + step.rollouts, tokens, seconds)
