"""Which model of a database is the base and which the trained one: as named, or as recorded in the file."""

from collections.abc import Collection, Mapping, Sequence

from esprobe.errors import UsageError
from esprobe.records import Model, StoredCondition
from esprobe.results.training_gain import Roles, UnclearRoles
from esprobe.spec import MADE_FROM
from esprobe.store import RolloutStore
from esprobe.store.choice import find_model, models_of, named
from esprobe.store.training import trained_models, training_runs


def made_from(store: RolloutStore) -> Mapping[str, str]:
    """The fingerprint of each model that is recorded as made from another one, and that of the other one.

    Sessions record what a checkpoint says of itself; training runs say it of every model that they lead to.
    """
    bases = {run.id: str(run.recipe["base"]["model_fingerprint"]) for run in training_runs(store)}
    trained = {fingerprint: bases[run] for fingerprint, (run, _) in trained_models(store).items()}
    records = [session.engine for session in store.sessions()]
    return trained | {
        str(record["fingerprint"]): str(record[MADE_FROM])
        for record in records
        if MADE_FROM in record and "fingerprint" in record
    }


def find_roles(
    store: RolloutStore, chosen: Sequence[StoredCondition], base: str | None, trained: str | None
) -> Roles | UnclearRoles | None:
    """The roles of the models of some conditions; None where there is nothing to tell apart.

    Imported rollouts have no role: their model is known by name only.

    Args:
        store: the database.
        chosen: its conditions of interest.
        base: the name of a model, or a tail of it; None to find it.
        trained: likewise.

    Raises:
        UsageError: a name fits no model or several, or both mean the same, or the other one is not clear.
    """
    models = models_of(store, chosen)
    if base is not None or trained is not None:
        return _named(store, models, base, trained)
    recorded = made_from(store)
    if (found := _of_a_run(store, chosen, models, recorded)) is not None:
        return found
    if len(models) == 2:
        for one, other in (models, models[::-1]):
            if recorded.get(other.fingerprint) == one.fingerprint:
                return Roles(one, other)
    return _unclear(store, models)


def _of_a_run(
    store: RolloutStore, chosen: Sequence[StoredCondition], models: Sequence[Model], recorded: Mapping[str, str]
) -> Roles | None:
    """The base of a training run and its last model; None without a run, or with runs of several recipes.

    The last one from which rollouts were sampled, or if there is none, the last one. Of runs that differ in the seed
    alone the first counts.
    """
    run_of = trained_models(store)
    trained = [model for model in models if model.fingerprint in run_of]
    if not trained:
        return None
    first = min(run_of[model.fingerprint][0] for model in trained)
    if not _are_replicates(store, {run_of[model.fingerprint][0] for model in trained}):
        return None
    trained = [model for model in trained if run_of[model.fingerprint][0] == first]
    sampled = {one.condition.model_fingerprint for one in chosen if one.condition.kind.is_sampled}
    candidates = [model for model in trained if model.fingerprint in sampled] or trained
    last = max(candidates, key=lambda model: run_of[model.fingerprint][1])
    base = next((model for model in models if model.fingerprint == recorded[last.fingerprint]), None)
    return None if base is None else Roles(base, last)


def _are_replicates(store: RolloutStore, ids: Collection[int]) -> bool:
    """Whether training runs differ in the seed alone."""
    recipes = [{k: v for k, v in run.recipe.items() if k != "seed"} for run in training_runs(store) if run.id in ids]
    return all(recipe == recipes[0] for recipe in recipes)


def _unclear(store: RolloutStore, models: Sequence[Model]) -> UnclearRoles | None:
    """The models that share an architecture with another one, if there are any."""
    if len(models) < 2:
        return None
    by_architecture: dict[str, list[Model]] = {}
    engines = {str(session.engine.get("fingerprint")): session.engine for session in store.sessions()}
    for model in models:
        if architecture := engines.get(model.fingerprint, {}).get("architecture"):
            by_architecture.setdefault(str(architecture), []).append(model)
    alike = [model for group in by_architecture.values() if len(group) > 1 for model in group]
    if not alike and any(model.fingerprint in trained_models(store) for model in models):
        alike = list(models)
    return UnclearRoles(tuple(alike)) if alike else None


def _named(store: RolloutStore, models: Sequence[Model], base: str | None, trained: str | None) -> Roles:
    first = None if base is None else find_model(store, models, "--base", base)
    second = None if trained is None else find_model(store, models, "--trained", trained)
    if first is None or second is None:
        given, missing = ("--trained", "--base") if first is None else ("--base", "--trained")
        others = [model for model in models if model not in (first, second)]
        recorded = made_from(store)
        related = [
            model
            for model in others
            if (first is None and second is not None and recorded.get(second.fingerprint) == model.fingerprint)
            or (first is not None and recorded.get(model.fingerprint) == first.fingerprint)
        ]
        others = related if len(related) == 1 else others
        if len(others) != 1:
            raise UsageError(
                f"with {given} alone it is clear which model has the other role only where there are two models; add "
                f"{missing}: {named(others)}"
            )
        first, second = first or others[0], second or others[0]
    if first == second:
        raise UsageError(
            f"--base and --trained both mean {first.name}, and a model gains nothing over itself; name two of: "
            f"{named(models)}"
        )
    return Roles(first, second)
