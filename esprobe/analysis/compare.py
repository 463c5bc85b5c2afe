"""Two conditions of a database, or one condition and random guessing, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from esprobe.analysis.available_tasks import learn_task_files, unavailable_tasks
from esprobe.analysis.load import check_ks, known_conditions, load
from esprobe.analysis.loaded import Loaded
from esprobe.analysis.nulls import known_nulls
from esprobe.analysis.pairs import comparable, compare_conditions, compare_null
from esprobe.errors import UsageError
from esprobe.records import FOREIGN, StoredCondition
from esprobe.results.detail import Comparison
from esprobe.store import RolloutStore
from esprobe.store.choice import Filters, enumerated, meant_by, narrowed, table_labels
from esprobe.store.database import stored_problems

NULL = "null"
"""The name of random guessing on the command line."""


def compare(
    database: Path,
    a: str,
    b: str,
    ks: Sequence[int] | None = None,
    filters: Filters = Filters(),  # noqa: B008 - it is frozen
) -> Comparison:
    """B against A, problem by problem.

    Args:
        database: the file.
        a: id or label of the first condition, or "null" for guessing.
        b: id or label of the second.
        ks: the k to compare at; powers of two up to the smaller n if None.
        filters: the task and the model of both.

    Raises:
        StoreError: the file cannot be read, or holds no condition.
        UsageError: a name matches no condition or several; the two cannot be paired; a k is above n.
    """
    with RolloutStore.open(database) as store, store.snapshot():
        known = known_conditions(store, database)
        labels = table_labels(store, narrowed(store, known, filters))
        names = [name for name in (a, b) if name != NULL]
        if b == NULL:
            raise UsageError(
                "null must be the first name, so that a condition above guessing has a positive difference: "
                "esprobe compare null B"
            )
        found = load(store, [_named(store, known, filters, name) for name in names], labels)
        for one in found:
            if not one.outcomes.problems:
                raise UsageError(f"{one.label} has no rollout yet, so there is nothing to compare; sample it first")
            if ks is not None:
                check_ks(ks, one)
        if a != NULL:
            return _conditions(found[0], found[1], ks)
        learn_task_files(store)
        with stored_problems(database):
            nulls = known_nulls(store, found)
    compared = [compare_null(null, found[0], ks) for null in nulls.found]
    if not compared or compared[0] is None:
        raise UsageError(_no_null(found[0], nulls.failures))
    return compared[0]


def _no_null(one: Loaded, failures: Mapping[str, str]) -> str:
    task = one.condition.task
    missing = unavailable_tasks([one], failures=failures)
    if not missing:
        reason = f"the task {task} defines no random guessing for these problems"
    elif task == FOREIGN:
        reason = "it was imported without a task; import it again with --task and another --label"
    elif missing[0].reason is None:
        reason = f"the task {task} is not installed here; install the package that provides it"
    else:
        reason = f"the task {task} cannot be used ({missing[0].reason})"
    return f"{one.label} cannot be compared with random guessing: {reason}"


def _conditions(a: Loaded, b: Loaded, ks: Sequence[int] | None) -> Comparison:
    if a.id == b.id:
        raise UsageError(
            f"both names mean {a.label}: the difference to itself is always 0; name two different conditions"
        )
    if not comparable(a, b):
        raise UsageError(
            f"{a.label} and {b.label} have no problem in common, so they cannot be paired; compare conditions that "
            "were sampled over the same --problems of the same --data"
        )
    return compare_conditions(a, b, ks)


def _named(store: RolloutStore, known: Sequence[StoredCondition], filters: Filters, name: str) -> StoredCondition:
    """The one condition that a typed name means.

    Raises:
        UsageError: there is none, or several.
    """
    matching = meant_by(store, known, filters, name)
    if len(matching) == 1:
        return matching[0]
    if matching:
        there = enumerated(store, narrowed(store, known, filters), matching)
        raise UsageError(f"{name} names several conditions; name one by its id or its whole label: {there}")
    there = enumerated(store, narrowed(store, known, filters))
    raise UsageError(f"{name} is not in this database, so there is nothing to compare; it has: {there}")
