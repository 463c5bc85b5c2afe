"""Training runs against selection among random perturbations, at equal rollouts on training problems."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.details import forms_of, value_codes
from esprobe.analysis.loaded import Loaded
from esprobe.analysis.training_material import Load, Material, commands, materials
from esprobe.analysis.training_spending import Populations
from esprobe.errors import TaskError
from esprobe.records import StoredCondition
from esprobe.results.recipe_words import recipe_words
from esprobe.results.training_selection import (
    BestOf,
    Budget,
    Level,
    Perturbations,
    Spent,
    TrainedModel,
    TrainingSelection,
    VoteGap,
    VoteOfBest,
)
from esprobe.stats.best_of_n import chance_of_best, variance_between
from esprobe.stats.best_voting import VOTERS, BestVoting
from esprobe.stats.intervals import intervals
from esprobe.stats.training_contrast import (
    Arm,
    Estimate,
    accuracy,
    fit_of,
    gap,
    outcome_of,
    selected_arm,
    trained_arm,
)
from esprobe.stats.votes import NO_VALUE
from esprobe.store import RolloutStore, tallies
from esprobe.store.database import stored_problems
from esprobe.store.training import population_size, seed_totals

FIGURES = 8
"""Decimals to which fitnesses are compared: rewards have few, and sums of equal rewards differ in the last bits."""

SHOWN = 48
"""Values of n at which the best of n is drawn, about evenly spaced in log n."""


def training_selections(
    store: RolloutStore, known: Sequence[StoredCondition], load: Load
) -> tuple[TrainingSelection, ...]:
    """Every training run of a database, those of one recipe apart from the seed together; empty without any.

    Args:
        store: the database.
        known: its conditions.
        load: reads one.

    Raises:
        StoreError: the file is damaged, or a problem's inputs are not of its task's form.
    """
    return tuple(_compared(store, known, material) for material in materials(store, known, load))


def _compared(store: RolloutStore, known: Sequence[StoredCondition], material: Material) -> TrainingSelection:
    recipe = material.runs[0].recipe
    populations = Populations.read(store, known, material)
    arms = {number: _trained(several, material.test) for number, several in material.evaluated.items()}
    base = None
    if material.base is not None:
        base = Arm(material.base.solved(material.test).astype(np.float64), (), len(material.test))
    candidates = _Candidates.read(store, material) if len(material.columns) > 1 else None
    models = {number: TrainedModel(number, populations.spent(number), accuracy(arm)) for number, arm in arms.items()}
    budgets = {number: _budget(one, arms[number], base, candidates, material) for number, one in models.items()}
    judged = next((one for one in reversed(budgets.values()) if one.best is not None), None)
    last = next(reversed(arms), None)
    rise = None if base is None or last is None else gap(base, arms[last])
    training_rise = populations.rise()
    return TrainingSelection(
        runs=tuple(run.id for run in material.runs),
        model=material.runs[0].model,
        sigma=recipe["sigma"],
        alpha=recipe["alpha"],
        population=recipe["population"],
        problems_per_iteration=recipe["problems_per_iteration"],
        parameters=recipe_words(recipe, seed=False),
        iterations=material.iterations,
        longest=max(len(run.iterations) for run in material.runs),
        training_problems=len(material.training),
        test_problems=len(material.test),
        base=None if base is None else accuracy(base),
        trained=tuple(models.values()),
        populations=tuple(replace(one, update=_update(material, one.iteration)) for one in populations.means()),
        perturbations=None if candidates is None else candidates.result(budgets.values()),
        budgets=tuple(budgets[number] for number in _shown(list(budgets))),
        judged=judged,
        outcome=None if judged is None or judged.difference is None else outcome_of(judged.difference),
        levels=() if last is None else tuple(_levels(material, models[last].spent.rollouts)),
        training_rise=training_rise,
        test_rise=rise,
        fit=None if training_rise is None or rise is None else fit_of(training_rise, rise),
        commands=() if last is None else _missing(store, material, last),
        evaluations_left_out=material.evaluations_left_out,
        problems_left_out=material.problems_left_out,
        scorers=material.scorers,
    )


def _trained(several: Sequence[Loaded], test: NDArray[np.int64]) -> Arm:
    return trained_arm(np.stack([one.solved(test) for one in several], axis=1))


def _update(material: Material, iteration: int) -> tuple[tuple[str, float], ...]:
    """By group of tensors, the relative size of the updates before an iteration, the mean of the runs."""
    norms = [run.iterations[iteration].norms for run in material.runs]
    groups = [group for group in norms[0] if all(one.get(group, (0.0, 0.0))[1] > 0 for one in norms)]
    return tuple((group, math.fsum(one[group][0] / one[group][1] for one in norms) / len(norms)) for group in groups)


def _n_of(material: Material, iteration: int) -> float:
    """Perturbations that cost as many rollouts as training up to an iteration."""
    return population_size(material.runs[0]) * iteration / len(material.training)


def _missing(store: RolloutStore, material: Material, last: int) -> tuple[str, ...]:
    wanted = max(2, -int(-_n_of(material, last) // 1))
    if len(material.columns) >= wanted or not len(material.test):
        return ()
    return commands(store, material, wanted)


def _shown(evaluated: Sequence[int]) -> list[int]:
    """The evaluated iterations at powers of two, or the next ones after those, and the last one."""
    found = set(evaluated[-1:])
    for power in range(evaluated[-1].bit_length() if evaluated else 0):
        found.add(next(number for number in evaluated if number >= 2**power))
    return sorted(found)


@dataclass(frozen=True, eq=False)
class _Candidates:
    """The perturbations among which one is selected.

    Attributes:
        condition: their condition.
        fitness: (N,) mean reward on the training problems.
        on_training: (N,) accuracy on the training problems.
        correct: (P, N) verdicts on the test problems.
        each: what one of them spends on the training problems, on average.
        voting: None if answers were not recorded.
    """

    condition: StoredCondition
    fitness: NDArray[np.float64]
    on_training: NDArray[np.float64]
    correct: NDArray[np.bool_]
    each: Spent
    voting: BestVoting | None

    @classmethod
    def read(cls, store: RolloutStore, material: Material) -> "_Candidates":
        one, columns = material.perturbed, material.columns
        assert one is not None  # or there were no columns
        training = [problem.id for problem in one.problems if problem.index in material.training]
        totals = seed_totals(store, one.id, training)
        own = [totals[int(seed)] for seed in one.correctness.seeds[columns]]
        spent = tallies.spending(store, one.id)
        seconds = (spent.generate_s + spent.switch_s) / spent.rollouts * len(training) if spent.rollouts else None
        rows = one.rows(material.test)
        correct = one.correctness.correct[np.ix_(rows, columns)]
        with stored_problems(store.path):
            codes = _codes(store, one)
        codes = codes[np.ix_(rows, columns)]
        fitness = np.array([round(total.reward / total.rollouts, FIGURES) for total in own])
        return cls(
            condition=one.stored,
            fitness=fitness,
            on_training=np.array([total.correct / total.rollouts for total in own]),
            correct=correct,
            each=Spent(len(training), float(np.mean([total.tokens for total in own])), seconds),
            voting=None if (correct & (codes == NO_VALUE)).any() else BestVoting(fitness, codes, correct),
        )

    @property
    def count(self) -> int:
        return len(self.fitness)

    @cached_property
    def means(self) -> tuple[float, float]:
        """Mean accuracy on training problems, and on test problems."""
        return float(self.on_training.mean()), float(self.correct.mean())

    def spent(self, n: float) -> Spent:
        tokens, seconds = (None if one is None else n * one for one in (self.each.tokens, self.each.seconds))
        return Spent(n * self.each.rollouts, tokens, seconds)

    def best_of(self, n: float) -> BestOf:
        chances = chance_of_best(self.fitness, n)
        reached = accuracy(selected_arm(self.fitness, self.correct, n))
        seems = float(self.on_training @ chances)
        mean_training, mean_test = self.means
        optimism = (seems - mean_training) - (reached.estimate - mean_test)
        return BestOf(n, self.spent(n), reached, seems, float(self.fitness @ chances), optimism)

    def votes(self, n: int, trained: Arm) -> tuple[VoteGap, ...]:
        """Training against the votes that there can be among n."""
        found: list[VoteGap] = []
        if self.voting is None:
            return ()
        for voters in VOTERS:
            if voters <= n and 2 * voters <= self.count:
                arm = self.voting.arm(n, voters)
                difference = gap(arm, trained)
                vote = VoteOfBest(voters, n, self.spent(n), accuracy(arm))
                found.append(VoteGap(vote, difference, outcome_of(difference)))
        return tuple(found)

    def result(self, budgets: Iterable[Budget]) -> Perturbations:
        reached = [budget for budget in budgets if budget.best is not None]
        own = {budget.best.n: budget.best for budget in reached if budget.best is not None}
        votes = [one.vote for budget in reached for one in budget.votes]
        grid = {float(n) for n in np.unique(np.geomspace(1, self.count, SHOWN).round())}
        best = own | {n: self.best_of(n) for n in grid - own.keys()}
        return Perturbations(
            condition=self.condition.id,
            sigma=self.condition.condition.sigma or 0.0,
            count=self.count,
            mean=self.means[1],
            training_mean=self.means[0],
            sd_between=float(np.sqrt(variance_between(self.correct))),
            best_of=tuple(best[n] for n in sorted(best)),
            votes=tuple(sorted(votes, key=lambda vote: (vote.voters, vote.n))),
        )


def _budget(
    model: TrainedModel, arm: Arm, base: Arm | None, candidates: _Candidates | None, material: Material
) -> Budget:
    gain = None if base is None else gap(base, arm)
    n = _n_of(material, model.iteration)
    if candidates is None or not 1 <= n <= candidates.count:
        return Budget(model, gain, None, (), None)
    difference = gap(selected_arm(candidates.fitness, candidates.correct, n), arm)
    return Budget(model, gain, candidates.best_of(n), candidates.votes(int(n), arm), difference)


def _levels(material: Material, rollouts: float) -> Iterator[Level]:
    """The best temperature at k = 1, and at the k that costs what training cost or the largest stored."""
    if not material.sampled or not len(material.test):
        return
    wanted = max(1, int(rollouts / len(material.test)))
    for of, k in ((None, 1), (wanted, wanted)):
        found = [_level(one, material.test, k, of) for one in material.sampled]
        best = max(found, key=lambda level: level.accuracy.estimate)
        if of is None or best.k > 1:
            yield best


def _level(one: Loaded, test: NDArray[np.int64], k: int, wanted: int | None) -> Level:
    outcomes = one.outcomes.rows(one.rows(test))
    k = min(k, outcomes.n_min)
    side = one.side(test, (k,))
    (around,) = intervals(outcomes, (k,), one.kind)
    estimate = Estimate(float(side.values.mean()), around.low, around.high)
    return Level(one.condition.label, one.id, k, wanted, estimate)


def _codes(store: RolloutStore, one: Loaded) -> NDArray[np.int32]:
    """A code for each answer; by its text where the task fails, as the report says of the condition."""
    found = tallies.answers(store, one.id, one.correctness, one.problems)
    try:
        return value_codes(one, found, forms_of(one))
    except TaskError:
        return found.codes
