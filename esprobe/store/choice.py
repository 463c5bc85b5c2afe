"""Which stored conditions ``--task``, ``--model`` and ``--condition`` select, and which are shown without them."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from esprobe.errors import UsageError
from esprobe.records import Model, StoredCondition
from esprobe.records.labels import FEWEST_DIGITS, distinct_labels, means_condition, means_model, shown_models
from esprobe.store.model_names import model_names
from esprobe.store.reader import RolloutStore
from esprobe.store.training import trained_models


@dataclass(frozen=True)
class Filters:
    """Which conditions a command is asked for.

    Attributes:
        conditions: ids, labels, kinds, or parts of labels; a condition is wanted if any fits. All if empty.
        task: the name of a task, or the file that it was sampled from; None for all.
        model: a model's name or path, a tail of it, or digits of its fingerprint; None for all.
    """

    conditions: tuple[str, ...] = ()
    task: str | None = None
    model: str | None = None

    def __bool__(self) -> bool:
        return bool(self.conditions) or self.task is not None or self.model is not None


def narrowed(store: RolloutStore, conditions: Sequence[StoredCondition], filters: Filters) -> list[StoredCondition]:
    """The conditions of the task and of the model asked for.

    Raises:
        UsageError: there is no such task, or no or more than one such model.
    """
    found = list(conditions)
    if filters.task is not None:
        task = _task(store, conditions, filters.task)
        found = [stored for stored in found if stored.condition.task == task]
    if filters.model is not None:
        model = find_model(store, models_of(store, found), "--model", filters.model)
        found = [stored for stored in found if stored.condition.model_fingerprint == model.fingerprint]
    return found


def choose(store: RolloutStore, conditions: Sequence[StoredCondition], filters: Filters) -> list[StoredCondition]:
    """The conditions that filters select; without ``Filters.conditions`` those that tables show (``listed``).

    Raises:
        UsageError: a filter fits nothing, or a model's name fits several.
    """
    of = narrowed(store, conditions, filters)
    if not filters.conditions:
        return listed(store, of)
    found: set[int] = set()
    for name in filters.conditions:
        meant = meant_by(store, conditions, filters, name)
        if not meant:
            raise UsageError(f"--condition {name} is not in this database; it has: {enumerated(store, of)}")
        found |= {stored.id for stored in meant}
    return [stored for stored in of if stored.id in found]


def selected(store: RolloutStore, conditions: Sequence[StoredCondition], filters: Filters) -> list[StoredCondition]:
    """The conditions that filters select, also those that tables leave out.

    Raises:
        UsageError: as ``choose``.
    """
    return choose(store, conditions, filters) if filters.conditions else narrowed(store, conditions, filters)


def meant_by(
    store: RolloutStore, conditions: Sequence[StoredCondition], filters: Filters, name: str
) -> list[StoredCondition]:
    """The conditions of the filters' task and model that a typed name means: see ``means_condition``.

    One that is exactly the id or a printed label of some excludes those that it fits in part only.
    """
    of = narrowed(store, conditions, filters)
    labels = (table_labels(store, of), table_labels(store, conditions))
    models = {model.fingerprint: {model.name} for model in models_of(store, conditions)}
    for model in models_of(store, of):
        models[model.fingerprint].add(model.name)

    def shown(stored: StoredCondition) -> set[str]:
        return {made[stored.id] for made in labels if stored.id in made}

    exactly = [stored for stored in of if name == str(stored.id)] or [stored for stored in of if name in shown(stored)]
    return exactly or [
        stored
        for stored in of
        if means_condition(
            name, stored.id, stored.condition, shown(stored), models.get(stored.condition.model_fingerprint, set())
        )
    ]


def table_labels(
    store: RolloutStore, conditions: Sequence[StoredCondition], also: Collection[StoredCondition] = ()
) -> dict[int, str]:
    """The labels of conditions in tables that show all of them that are listed, and ``also``, by id.

    Those of conditions that no table lists are what they would be beside all others.
    """
    names = model_names(store)
    everything = distinct_labels({one.id: one.condition for one in conditions}, names)
    shown = {one.id: one.condition for one in (*listed(store, conditions), *also)}
    return everything | distinct_labels(dict(sorted(shown.items())), names)


def enumerated(
    store: RolloutStore, conditions: Sequence[StoredCondition], chosen: Sequence[StoredCondition] | None = None
) -> str:
    """Ids and labels of conditions, or of some of them, for an error."""
    labels = table_labels(store, conditions)
    return ", ".join(f"{stored.id} ({labels[stored.id]})" for stored in chosen or conditions)


def models_of(store: RolloutStore, conditions: Sequence[StoredCondition]) -> list[Model]:
    """The models of sampled conditions, each once."""
    of = [one.condition for one in conditions if one.condition.source is None and one.condition.kind.is_listed]
    names = shown_models(of, model_names(store))
    paths: dict[str, str] = {}
    for condition in of:
        paths.setdefault(condition.model_fingerprint, condition.model)
    return [Model(fingerprint, names[fingerprint], path) for fingerprint, path in paths.items()]


def find_model(store: RolloutStore, models: Sequence[Model], option: str, name: str) -> Model:
    """The one model that a typed name means: its name or path, a tail of it, FILE:RUN@ITERATION, or a fingerprint.

    Raises:
        UsageError: there is none, or several.
    """
    matching = [model for model in models if name == model.name] or [model for model in models if name == model.path]
    matching = matching or [
        model for model in models if means_model(name, model.path, model.fingerprint, (model.name,))
    ]
    if not matching and (fingerprint := _of_run(store, name)) is not None:
        matching = [model for model in models if model.fingerprint == fingerprint]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            f"{option} {name} fits several models; give more of the name, or the first {FEWEST_DIGITS} digits of the "
            f"fingerprint: {named(matching)}"
        )
    raise UsageError(f"{option} {name} is no model of these conditions; there are: {named(models)}")


def named(models: Sequence[Model]) -> str:
    """Names of models with the first digits of their fingerprints, for an error."""
    return ", ".join(f"{model.name} ({model.fingerprint[:FEWEST_DIGITS]})" for model in models) or "none"


def _task(store: RolloutStore, conditions: Sequence[StoredCondition], name: str) -> str:
    """The name of a task; a file that it was sampled from may be given instead.

    Raises:
        UsageError: there is none.
    """
    tasks = list(dict.fromkeys(stored.condition.task for stored in conditions))
    if name in tasks:
        return name
    files = {Path(file.location).name: task for task, file in store.task_files().items()}
    if (found := files.get(Path(name).name)) in tasks:
        return found
    raise UsageError(
        f"--task {name} is no task of this database, so there is nothing to show; it has: {', '.join(tasks)}"
    )


def _of_run(store: RolloutStore, name: str) -> str | None:
    """The fingerprint of ``FILE:RUN@ITERATION`` in this file, whatever it is called; None if it is no such name."""
    found = re.fullmatch(r".+:(\d+)(?:@(\d+))?", name)
    if found is None:
        return None
    places = {place: fingerprint for fingerprint, place in trained_models(store).items() if place[0] == int(found[1])}
    last = max(places, default=None)
    return places.get(last if found[2] is None or last is None else (last[0], int(found[2]))) if last else None


def listed(store: RolloutStore, conditions: Sequence[StoredCondition]) -> list[StoredCondition]:
    """The conditions that tables show without being asked.

    Left out are the populations of training runs, and the greedy evaluations of the models that a run passed through
    on its way to the last one that was evaluated, unless rollouts were sampled from such a model too.
    """
    models = trained_models(store)
    place = {one.id: models.get(one.condition.model_fingerprint) for one in conditions}
    last: dict[int, int] = {}
    for found in place.values():
        if found is not None:
            last[found[0]] = max(found[1], last.get(found[0], 0))
    sampled = {one.condition.model_fingerprint for one in conditions if one.condition.kind.is_sampled}

    def is_listed(one: StoredCondition) -> bool:
        found = place[one.id]
        passed = found is not None and found[1] < last[found[0]] and one.condition.model_fingerprint not in sampled
        return one.condition.kind.is_listed and not passed

    return [one for one in conditions if is_listed(one)]
