"""Checking that the updates of training runs follow from the rewards that are stored with them."""

from collections.abc import Iterator

from esprobe.es import Draw, coefficients, fitness, population, problems_of
from esprobe.records.training import Iteration, TrainingRun
from esprobe.store.reader import RolloutStore
from esprobe.store.training import rewards, training_runs

Populations = dict[tuple[str, int], dict[bool, int]]
"""(run's digest, iteration) -> whether mirrored -> condition id."""


def rescored_runs(store: RolloutStore) -> dict[int, str]:
    """Run id -> a sentence, for each run whose rollouts have other verdicts than those that its updates came from."""
    found = {}
    for run in training_runs(store):
        own = [one.id for one in store.conditions() if one.condition.run == run.digest]
        others = {scorer for id_ in own for scorer in store.scorers(id_)} - {run.recipe["scorer"]}
        if others:
            found[run.id] = (
                f"the rollouts of training run {run.id} are scored by {', '.join(sorted(others))} now, and its updates "
                f"came from rewards of {run.recipe['scorer']}: it cannot go on until they are scored by that again"
            )
    return found


def training(store: RolloutStore, one_run: TrainingRun | None = None) -> Iterator[str]:
    """Where a run's seeds, fitness or coefficients differ from what recipe and rewards say, a sentence each.

    Of ``one_run`` or of all. Digests are held against updates whenever runs are read. Runs whose rollouts have been
    scored by another scorer are left out, see ``rescored_runs``.

    Raises:
        StoreError: the tables of training runs cannot be read.
    """
    rescored = rescored_runs(store)
    conditions: Populations = {}
    for stored in store.conditions():
        one = stored.condition
        if one.run is not None and one.iteration is not None:
            conditions.setdefault((one.run, one.iteration), {})[bool(one.mirrored)] = stored.id
    for run in training_runs(store) if one_run is None else (one_run,):
        for number, done in enumerate(run.iterations if run.id not in rescored else ()):
            yield from _iteration(store, run, number, done, conditions.get((run.digest, number), {}))


def _iteration(
    store: RolloutStore, run: TrainingRun, number: int, done: Iteration, ids: dict[bool, int]
) -> Iterator[str]:
    recipe, where = run.recipe, f"iteration {number} of training run {run.id}"
    draws = population(recipe["seed"], number, recipe["population"], antithetic=recipe["antithetic"])
    if [Draw(member.seed, member.sign) for member in done.members] != draws:
        yield f"{where}: its members are not those of its recipe"
        return
    problems = problems_of(range(*recipe["problems"]), recipe["seed"], number, recipe["problems_per_iteration"])
    drawn: dict[tuple[int, int], dict[int, float]] = {}
    for mirrored, id_ in ids.items():
        for row in rewards(store, id_):
            drawn.setdefault((row.seed, -1 if mirrored else 1), {})[row.problem_index] = row.reward
    found = []
    for member in done.members:
        mine = drawn.get((member.seed, member.sign), {})
        if missing := [index for index in problems if index not in mine]:
            yield f"{where}, seed {member.seed}: problem {missing[0]} is not stored"
            return
        found.append(fitness([mine[index] for index in problems]))
        if found[-1] != member.fitness:
            yield (
                f"{where}, seed {member.seed}: its rewards give fitness {found[-1]!r}, and {member.fitness!r} is stored"
            )
    expected = coefficients(draws, found, recipe["alpha"], recipe["shaping"])
    for member, coefficient in zip(done.members, expected, strict=True):
        if coefficient != member.coefficient:
            yield (
                f"{where}, seed {member.seed}: its rewards give the coefficient {coefficient!r}, and "
                f"{member.coefficient!r} is stored"
            )
