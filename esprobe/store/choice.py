"""Which stored conditions ``--condition`` selects, and which are shown without it."""

from collections.abc import Sequence

from esprobe.errors import UsageError
from esprobe.records import StoredCondition
from esprobe.store.reader import RolloutStore
from esprobe.store.training import trained_models


def choose_conditions(conditions: Sequence[StoredCondition], wanted: Sequence[str]) -> list[StoredCondition]:
    """The conditions whose id, label or kind is among ``wanted``; all if ``wanted`` is empty.

    Raises:
        UsageError: an element of ``wanted`` is not the id, label or kind of any condition.
    """

    def names(stored: StoredCondition) -> set[str]:
        return {str(stored.id), stored.condition.label, stored.condition.kind}

    for name in wanted:
        if not any(name in names(stored) for stored in conditions):
            available = ", ".join(f"{stored.id} ({stored.condition.label})" for stored in conditions)
            raise UsageError(
                f"--condition {name} is not in this database, so there is nothing to show; it has: {available}"
            )
    return [stored for stored in conditions if not wanted or names(stored) & set(wanted)]


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
