"""Which conditions of a database belong to a training run: its evaluations, its base, and the base's perturbations."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.loaded import Loaded
from esprobe.records import StoredCondition
from esprobe.records.training import TrainingRun
from esprobe.spec import digest_of
from esprobe.store import RolloutStore
from esprobe.store.training import trained_models, training_runs

Load = Callable[[StoredCondition], Loaded]

_OF_AN_ARM = frozenset({"kind", "temperature", "top_p", "top_k", "sigma", "noise", "scope"})
"""Keys of an identity that conditions of one model may differ in."""


@dataclass(frozen=True, eq=False)
class Material:
    """Training runs of one recipe, apart from the seed, and what they are compared with.

    Attributes:
        runs: at least one, each with a finished iteration.
        evaluated: (R conditions, one for each run) by iteration from 1, ascending; those that all runs have.
        evaluations_left_out: iterations that were evaluated on too few test problems.
        base: the base's greedy condition; None if it is not stored, or on too few test problems.
        perturbed: the base's perturbations; None without any on most test problems and on training problems.
        sampled: the base's temperatures on all test problems.
        test: indices of the test problems, ascending.
        problems_left_out: test problems of evaluations that not everything has.
    """

    runs: tuple[TrainingRun, ...]
    evaluated: Mapping[int, tuple[Loaded, ...]]
    evaluations_left_out: tuple[int, ...]
    base: Loaded | None
    perturbed: Loaded | None
    sampled: tuple[Loaded, ...]
    test: NDArray[np.int64]
    problems_left_out: int

    @property
    def training(self) -> range:
        """Indices of the training problems."""
        return training_problems(self.runs[0])

    @property
    def scorers(self) -> tuple[str, ...]:
        """Scorers of the rewards and verdicts, sorted; normally one."""
        used = [one for several in self.evaluated.values() for one in several]
        used += [one for one in (self.base, self.perturbed) if one is not None]
        own = {run.recipe["scorer"] for run in self.runs}
        return tuple(sorted(own.union(*(one.scorers for one in used))))

    @property
    def iterations(self) -> int:
        """Iterations that every run has finished."""
        return min(len(run.iterations) for run in self.runs)

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """Columns of the perturbations that all training and all test problems have met."""
        if self.perturbed is None or not len(self.test):
            return np.zeros(0, np.int64)
        wanted = np.union1d(self.test, np.array(self.training))
        if not np.isin(wanted, self.perturbed.correctness.problems).all():
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.perturbed.correctness.stored[self.perturbed.rows(wanted)].all(axis=0))


def training_problems(run: TrainingRun) -> range:
    """Indices of a run's training problems."""
    return range(*run.recipe["problems"])


def materials(store: RolloutStore, known: Sequence[StoredCondition], load: Load) -> Iterator[Material]:
    """The training runs of a database, those of one recipe apart from the seed together.

    Args:
        store: the database.
        known: its conditions.
        load: reads one.
    """
    models = trained_models(store)
    groups: dict[str, list[TrainingRun]] = {}
    for run in training_runs(store):
        if run.iterations:
            recipe = digest_of({key: value for key, value in run.recipe.items() if key != "seed"})
            groups.setdefault(recipe, []).append(run)
    for group in groups.values():
        yield _material(group, known, models, load)


def _material(
    runs: Sequence[TrainingRun],
    known: Sequence[StoredCondition],
    models: Mapping[str, tuple[int, int]],
    load: Load,
) -> Material:
    runs, found = _evaluations(runs, known, models, load)
    trained = training_problems(runs[0])

    def outside(one: Loaded) -> NDArray[np.int64]:
        problems = one.correctness.problems
        return problems[(problems < trained.start) | (problems >= trained.stop)]

    reach = {number: min(len(outside(one)) for one in several) for number, several in found.items()}
    widest = max(reach.values(), default=0)
    wide = {number: several for number, several in found.items() if widest and 2 * reach[number] >= widest}
    test = _common(outside(one) for several in wide.values() for one in several)
    before = len(test)

    def narrowed_by(one: Loaded | None) -> Loaded | None:
        """The condition if it has most test problems, which are then those that it has."""
        nonlocal test
        if one is None:
            return None
        shared = np.intersect1d(test, one.correctness.problems)
        if not len(shared) or 2 * len(shared) < len(test):
            return None
        test = shared
        return one

    base = runs[0].recipe["base"]
    of_base = [one for one in known if {k: v for k, v in one.condition.identity.items() if k not in _OF_AN_ARM} == base]
    greedy = narrowed_by(next((load(one) for one in of_base if not one.condition.kind.is_sampled), None))
    perturbed = narrowed_by(_perturbed(runs[0], of_base, load))
    temperatures = [load(one) for one in of_base if one.condition.kind.has_token_noise]
    return Material(
        runs=tuple(runs),
        evaluated=wide,
        evaluations_left_out=tuple(number for number in found if number not in wide and reach[number]),
        base=greedy,
        perturbed=perturbed,
        sampled=tuple(one for one in temperatures if np.isin(test, one.correctness.problems).all()),
        test=test,
        problems_left_out=before - len(test),
    )


def _evaluations(
    runs: Sequence[TrainingRun],
    known: Sequence[StoredCondition],
    models: Mapping[str, tuple[int, int]],
    load: Load,
) -> tuple[Sequence[TrainingRun], dict[int, tuple[Loaded, ...]]]:
    """The runs that were evaluated, and the iterations at which all of them were."""
    base = {key: value for key, value in runs[0].recipe["base"].items() if key != "model_fingerprint"}
    by_run: dict[int, dict[int, StoredCondition]] = {}
    for one in known:
        identity, place = one.condition.identity, models.get(one.condition.model_fingerprint)
        its = {key: value for key, value in identity.items() if key not in ("kind", "model_fingerprint")}
        if place is not None and not one.condition.kind.is_sampled and its == base:
            by_run.setdefault(place[0], {})[place[1]] = one
    used = [run for run in runs if run.id in by_run]
    if not used:
        return runs, {}
    shared = sorted(set.intersection(*(set(by_run[run.id]) for run in used)))
    if not shared:  # evaluated at different iterations, so there is nothing to average
        used = [max(used, key=lambda run: len(by_run[run.id]))]
        shared = sorted(by_run[used[0].id])
    return used, {number: tuple(load(by_run[run.id][number]) for run in used) for number in shared}


def _perturbed(run: TrainingRun, of_base: Sequence[StoredCondition], load: Load) -> Loaded | None:
    """The perturbations with the run's noise and scope at its sigma, else at the sigma with most of them."""
    recipe = run.recipe
    able = [
        one
        for one in of_base
        if one.condition.kind.shares_noise
        and one.condition.sigma
        and (one.condition.noise, one.condition.scope) == (recipe["noise"], recipe["scope"])
    ]
    same = [one for one in able if one.condition.sigma == recipe["sigma"]]
    return max(map(load, same or able), key=lambda one: one.samples[1], default=None)


def _common(problems: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    found: NDArray[np.int64] | None = None
    for one in problems:
        found = one if found is None else np.intersect1d(found, one)
    return np.zeros(0, np.int64) if found is None else found


def commands(store: RolloutStore, material: Material, samples: int) -> tuple[str, ...]:
    """What draws ``samples`` perturbations of the base on its training and test problems."""
    run, training = material.runs[0], material.training
    base = run.recipe["base"]
    perturbed = material.perturbed
    sigma = run.recipe["sigma"] if perturbed is None else perturbed.condition.sigma
    words = ["esprobe", "sample-perturb", "--db", str(store.path), "--model", run.model, "--sigma", f"{sigma:.12g}"]
    words += ["--engine", base["engine"], "--max-tokens", str(base["max_tokens"])]
    if "float" in base["dtype"]:  # the scripted engine has texts and no weights
        words += ["--dtype", base["dtype"]]
    words += [
        *(_typed(store, run, "--task") or ["--task", base["task"]]),
        *_typed(store, run, "--data"),
        *_typed(store, run, "--scorer"),
        "--prompt",
        base["prompt"],
        "--noise",
        run.recipe["noise"],
    ]
    if run.recipe["scope"] is not None:
        words += ["--scope", run.recipe["scope"]]
    if base.get("stop_loops"):
        words.append("--stop-loops")
    for text in base.get("stop") or ():
        words += ["--stop", text]
    words += ["--samples", str(samples)]
    first, stop = int(material.test[0]), int(material.test[-1]) + 1
    if first <= training.stop and training.start <= stop:
        spans = [(min(first, training.start), max(stop, training.stop))]
    else:
        spans = [(training.start, training.stop), (first, stop)]
    return tuple(shlex.join([*words, "--problems", f"{start}:{end}"]) for start, end in spans)


def _typed(store: RolloutStore, run: TrainingRun, option: str) -> list[str]:
    """The words of an option as the training command had them, such as --data: the file knows its digest alone."""
    drawn = next((one for one in store.conditions() if one.condition.run == run.digest), None)
    for session in store.sessions(drawn.id) if drawn is not None else ():
        if session.command.startswith("esprobe train-es "):  # rather than an import or a merge
            words = shlex.split(session.command)
            for place, word in enumerate(words):
                if word == option:
                    return words[place : place + 2]
                if word.startswith(f"{option}="):
                    return [word]
    return []
