"""From a database to the numbers that tables and reports are made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from esprobe.errors import StoreError, UsageError
from esprobe.records import Correctness, Extent, StoredCondition
from esprobe.report.results import ConditionResult, Results, condition_result
from esprobe.store import RolloutStore
from esprobe.store.choice import choose_conditions
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
        # A command that failed before it sampled leaves a condition that nothing speaks of.
        known = [condition for condition in store.conditions() if store.extents(condition.id)]
        if not known:
            raise StoreError(
                f"{database} holds no condition yet, so there is nothing to estimate; draw rollouts with: "
                f"esprobe sample-temp --db {database}"
            )
        chosen = choose_conditions(known, filters)
        if ks is not None and set(ks) != {1} and all(c.condition.kind == "greedy" for c in chosen):
            raise UsageError("a greedy baseline has one rollout per problem, so only --k 1 can be told; leave --k out")
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


def _result(store: RolloutStore, stored: StoredCondition, ks: Sequence[int] | None) -> ConditionResult:
    correctness = store.correctness(stored.id)
    plan = _plan(store.extents(stored.id), correctness)
    if ks is not None and len(correctness.problems):
        _check_ks(ks, stored, correctness)
    return condition_result(stored, correctness, store.totals(stored.id), ks=ks, **plan)


def _check_ks(ks: Sequence[int], stored: StoredCondition, correctness: Correctness) -> None:
    if min(ks) < 1:
        raise UsageError(f"pass@{min(ks)} means nothing: k counts rollouts; use --k 1 or more")
    n_min = int(correctness.stored.sum(axis=1).min())
    # A baseline always shows its one k beside the conditions that have curves.
    if stored.condition.kind != "greedy" and max(ks) > n_min:
        raise UsageError(
            f"pass@{max(ks)} cannot be told for {stored.condition.label}: its problems have as few as {n_min} "
            f"rollouts, and k may not pass n; use --k {n_min} or less, draw more with --samples, or leave "
            f"the condition out with --condition"
        )


def _plan(asked: Sequence[Extent], correctness: Correctness) -> dict[str, Any]:
    """All that any session asked for: its bounds, how much it is, and how much of it is not stored."""
    if not asked:
        return {}
    first = min(extent.first_index for extent in asked)
    stop = max(extent.stop_index for extent in asked)
    seed = min(extent.first_seed for extent in asked)
    end = max(extent.first_seed + extent.samples for extent in asked)
    planned = np.zeros((stop - first, end - seed), np.bool_)
    for extent in asked:
        rows = slice(extent.first_index - first, extent.stop_index - first)
        planned[rows, extent.first_seed - seed : extent.first_seed - seed + extent.samples] = True
    total = int(planned.sum())
    problems = int(planned.any(axis=1).sum())
    inside = (correctness.problems >= first) & (correctness.problems < stop)
    drawn = (correctness.seeds >= seed) & (correctness.seeds < end)
    grid = np.ix_(correctness.problems[inside] - first, correctness.seeds[drawn] - seed)
    done = int((planned[grid] & correctness.stored[np.ix_(inside, drawn)]).sum())
    return {
        "extent": Extent(first, stop, seed, end - seed, problems),
        "planned": total,
        "missing": total - done,
    }
