"""From a database to the numbers that tables and reports are made of."""

from collections.abc import Sequence
from pathlib import Path

from esprobe.errors import StoreError, UsageError
from esprobe.records import StoredCondition
from esprobe.report.results import ConditionResult, Results, condition_result
from esprobe.store import RolloutStore
from esprobe.tasks.published import published_points


def load_results(database: Path, filters: Sequence[str] = (), ks: Sequence[int] | None = None) -> Results:
    """Everything a table or report shows of ``database``.

    Args:
        database: the file.
        filters: ids, labels or kinds of conditions to show; all if empty.
        ks: the k of pass@k; powers of two up to each condition's n if None.

    Raises:
        StoreError: the file cannot be read, or holds no condition.
        UsageError: a filter matches nothing, or a k is not between 1 and the rollouts of every problem.
    """
    with RolloutStore.open(database) as store:
        known = store.conditions()
        if not known:
            raise StoreError(
                f"{database} holds no condition yet, so there is nothing to estimate; draw rollouts with: "
                f"esprobe sample-temp --db {database}"
            )
        chosen = _filtered(known, filters)
        results = tuple(_result(store, condition, ks) for condition in chosen)
        sessions = {s.id: s for condition in chosen for s in store.sessions(condition.id)}
    tasks = tuple(dict.fromkeys(condition.condition.task for condition in chosen))
    return Results(
        task=", ".join(tasks),
        scorer=", ".join(dict.fromkeys(session.scorer for session in sessions.values())),
        conditions=results,
        published=tuple(point for task in tasks for point in published_points(task)),
        sessions=tuple(sessions[id_] for id_ in sorted(sessions)),
    )


def _filtered(known: list[StoredCondition], filters: Sequence[str]) -> list[StoredCondition]:
    def names(stored: StoredCondition) -> set[str]:
        return {str(stored.id), stored.condition.label, stored.condition.kind}

    for wanted in filters:
        if not any(wanted in names(stored) for stored in known):
            there = ", ".join(f"{stored.id} ({stored.condition.label})" for stored in known)
            raise UsageError(
                f"--condition {wanted} is not in this database, so there is nothing to show; it has: {there}"
            )
    return [stored for stored in known if not filters or names(stored) & set(filters)]


def _result(store: RolloutStore, stored: StoredCondition, ks: Sequence[int] | None) -> ConditionResult:
    correctness = store.correctness(stored.id)
    extent = store.extent(stored.id)
    missing = None
    if extent is not None:
        missing = extent.problems * extent.samples - store.totals(stored.id, extent).rollouts
    if ks is not None and stored.condition.kind != "greedy" and len(correctness.problems):
        n_min = int(correctness.stored.sum(axis=1).min())
        for k in ks:
            if not 1 <= k <= n_min:
                raise UsageError(
                    f"pass@{k} cannot be told for {stored.condition.label}: its problems have as few as {n_min} "
                    f"rollouts, and k may not pass n; use --k {n_min} or less, draw more with --samples, or leave "
                    f"the condition out with --condition"
                )
    return condition_result(stored, correctness, store.totals(stored.id), extent=extent, missing=missing, ks=ks)
