"""Two conditions of a database, or one and guessing, side by side."""

from collections.abc import Sequence
from pathlib import Path

from esprobe.analysis.load import check_ks, known_conditions, load
from esprobe.analysis.loaded import Loaded
from esprobe.analysis.nulls import known_nulls
from esprobe.analysis.pairs import comparable, compare_conditions, compare_null
from esprobe.errors import UsageError
from esprobe.records import StoredCondition
from esprobe.results.detail import Comparison
from esprobe.store import RolloutStore
from esprobe.store.database import stored_problems

NULL = "null"
"""The name under which guessing is compared with."""


def compare(database: Path, a: str, b: str, ks: Sequence[int] | None = None) -> Comparison:
    """B against A, problem by problem.

    Args:
        database: the file.
        a: id or label of the first condition, or "null" for guessing.
        b: id or label of the second.
        ks: the k to compare at; powers of two up to what both can tell if None.

    Raises:
        StoreError: the file cannot be read, or holds no condition.
        UsageError: a name matches no condition or several; the two cannot be paired; a k cannot be told.
    """
    with RolloutStore.open(database) as store, store.snapshot():
        known = known_conditions(store, database)
        names = [name for name in (a, b) if name != NULL]
        if b == NULL:
            raise UsageError("the null stands first, so that what is above it is positive: esprobe compare null B")
        if a == b:
            raise UsageError(f"{a} is named twice, and nothing differs from itself; name two conditions")
        found = load(store, [_named(known, name) for name in names])
        for one in found:
            if not one.outcomes.problems:
                raise UsageError(f"{one.label} has no rollout yet, so there is nothing to compare; sample it first")
            if ks is not None:
                check_ks(ks, one)
        if a != NULL:
            return _conditions(found[0], found[1], ks)
        with stored_problems(database):
            nulls = known_nulls(found)
    told = [compare_null(null, found[0], ks) for null in nulls]
    if not told or told[0] is None:
        raise UsageError(
            f"the task {found[0].condition.task} brings no null for these problems (or is not installed here), so "
            "guessing cannot be compared with"
        )
    return told[0]


def _conditions(a: Loaded, b: Loaded, ks: Sequence[int] | None) -> Comparison:
    if a.id == b.id:
        raise UsageError(f"both names mean {a.label}, and nothing differs from itself; name two conditions")
    if not comparable(a, b):
        raise UsageError(
            f"{a.label} and {b.label} have no problem in common, so nothing can be paired; compare conditions that "
            "were sampled over the same --problems of the same --data"
        )
    return compare_conditions(a, b, ks)


def _named(known: Sequence[StoredCondition], name: str) -> StoredCondition:
    """The one condition of an id or a label.

    Raises:
        UsageError: there is none, or several.
    """
    matching = [c for c in known if name == str(c.id)] or [c for c in known if name == c.condition.label]
    if len(matching) == 1:
        return matching[0]
    there = ", ".join(f"{c.id} ({c.condition.label})" for c in matching or known)
    if matching:
        raise UsageError(f"{name} names several conditions; name one by its id: {there}")
    raise UsageError(f"{name} is not in this database, so there is nothing to compare; it has: {there}")
