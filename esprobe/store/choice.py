"""Which stored conditions ``--condition`` selects."""

from collections.abc import Sequence

from esprobe.errors import UsageError
from esprobe.records import StoredCondition


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
