"""Which stored conditions a person means."""

from collections.abc import Sequence

from esprobe.errors import UsageError
from esprobe.records import StoredCondition


def choose_conditions(known: Sequence[StoredCondition], wanted: Sequence[str]) -> list[StoredCondition]:
    """Those of the ``known`` conditions whose id, label or kind is ``wanted``; all if nothing is.

    Raises:
        UsageError: something wanted is no condition's id, label or kind.
    """

    def names(stored: StoredCondition) -> set[str]:
        return {str(stored.id), stored.condition.label, stored.condition.kind}

    for name in wanted:
        if not any(name in names(stored) for stored in known):
            there = ", ".join(f"{stored.id} ({stored.condition.label})" for stored in known)
            raise UsageError(
                f"--condition {name} is not in this database, so there is nothing to show; it has: {there}"
            )
    return [stored for stored in known if not wanted or names(stored) & set(wanted)]
