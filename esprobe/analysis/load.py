"""A whole database: curves and nulls for a table; comparisons, selection and verdict for a report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from esprobe.analysis.available_tasks import unavailable_tasks
from esprobe.analysis.choose import field_of, select
from esprobe.analysis.condition import condition_result
from esprobe.analysis.details import curves_by_group
from esprobe.analysis.judge import judge
from esprobe.analysis.loaded import Loaded
from esprobe.analysis.mixed_scorers import mixed_scorers
from esprobe.analysis.nulls import Null, known_nulls
from esprobe.analysis.pairs import all_pairs, arms_overlap, compare_null, with_holm
from esprobe.analysis.parallel import details
from esprobe.analysis.planned import planned_extent
from esprobe.errors import StoreError, UsageError
from esprobe.records import SessionRecord, StoredCondition
from esprobe.results.labels import distinct_labels
from esprobe.results.results import ConditionResult, Results
from esprobe.stats.cost import CostMatched, cost_matched
from esprobe.store import RolloutStore
from esprobe.store.choice import choose_conditions
from esprobe.store.database import stored_problems
from esprobe.tasks.published import published_points


def load_results(
    database: Path,
    filters: Sequence[str] = (),
    ks: Sequence[int] | None = None,
    *,
    whole: bool = False,
    workers: int = 1,
) -> Results:
    """Everything a table or report shows of ``database``.

    Args:
        database: the file.
        filters: ids, labels or kinds of conditions to show; all if empty.
        ks: the k of pass@k; powers of two up to each condition's n if None.
        whole: True for a report, with comparisons, selection and verdict; False for curves and nulls alone.
        workers: processes that may work on a report of millions of rollouts. More than one only where the program
            that calls this can be loaded again (``if __name__ == "__main__"``).

    Raises:
        StoreError: the file cannot be read, or holds no condition.
        UsageError: a filter matches nothing, or a k is not between 1 and the rollouts of every problem.
    """
    with RolloutStore.open(database) as store, store.snapshot():
        chosen = choose_conditions(known_conditions(store, database), filters)
        if ks is not None and set(ks) != {1} and all(not c.condition.kind.is_sampled for c in chosen):
            raise UsageError(
                "a greedy baseline has one rollout per problem, so only --k 1 can be estimated; leave --k out"
            )
        loaded = load(store, chosen)
        with stored_problems(database):
            nulls = known_nulls(loaded)
        conditions = tuple(_result(store, one, ks) for one in loaded)
        if whole:
            conditions = _detailed(store, conditions, loaded, ks, workers)
        sessions = {s.id: s for condition in chosen for s in store.sessions(condition.id)}
    results = replace(
        _assembled(loaded, conditions, list(sessions.values())), asked_ks=None if ks is None else tuple(ks)
    )
    null_ks = results.ks or (1,)
    results = replace(results, nulls=tuple(null.result(null_ks) for null in nulls))
    return _with_comparisons(results, loaded, nulls, ks) if whole else results


def _assembled(
    loaded: Sequence[Loaded], conditions: tuple[ConditionResult, ...], sessions: Sequence[SessionRecord]
) -> Results:
    """The results of single conditions with their task, scorers and sessions."""
    tasks = tuple(dict.fromkeys(one.condition.task for one in loaded))
    return Results(
        task=", ".join(tasks),
        scorer=", ".join(dict.fromkeys(session.scorer for session in sessions)),
        conditions=conditions,
        published=tuple(point for task in tasks for point in published_points(task)),
        sessions=tuple(sorted(sessions, key=lambda session: session.id)),
        mixed_scorers=mixed_scorers({one.label: one.scorers for one in loaded}),
        unavailable_tasks=unavailable_tasks(loaded),
    )


def known_conditions(store: RolloutStore, database: Path) -> list[StoredCondition]:
    """The conditions that were sampled.

    Raises:
        StoreError: there is none.
    """
    # A command that failed before it sampled leaves a condition without a plan.
    known = [condition for condition in store.conditions() if store.extents(condition.id)]
    if not known:
        raise StoreError(
            f"{database} holds no condition yet, so there is nothing to estimate; sample with: "
            f"esprobe sample-temp --db {database}"
        )
    return known


def load(store: RolloutStore, chosen: Sequence[StoredCondition]) -> list[Loaded]:
    """Conditions with their verdicts, each under a unique label."""
    labels = distinct_labels({stored.id: stored.condition for stored in chosen})
    return [
        Loaded(stored, *store.verdicts(stored.id), labels[stored.id], store.scorers(stored.id)) for stored in chosen
    ]


def _with_comparisons(
    results: Results, loaded: Sequence[Loaded], nulls: Sequence[Null], ks: Sequence[int] | None
) -> Results:
    """The same with all that takes more than one condition; selection and verdict have a k of their own."""
    stored = [one for one in loaded if one.outcomes.problems]
    sampled = [one for one in stored if one.kind.is_sampled]
    field = field_of(stored)
    selection = None if field is None else select(field, results.published)
    against = (compare_null(null, one, ks) for null in nulls for one in sampled)
    return replace(
        results,
        pairs=with_holm(all_pairs(stored, ks)),
        against_null=with_holm([pair for pair in against if pair is not None]),
        arms=arms_overlap(sampled),
        selection=selection,
        verdict=judge(field, selection, nulls),
        cost_matched=_cost_matched(results, sampled),
    )


def _cost_matched(results: Results, sampled: Sequence[Loaded]) -> tuple[CostMatched, ...]:
    """At equal tokens, and at equal engine-seconds if every condition's are recorded."""
    outcomes = {one.id: one.outcomes for one in sampled}
    costs = {c.id: c.detail.cost for c in results.sampled if c.detail is not None and c.id in outcomes}
    tokens = {i: cost.tokens_per_rollout for i, cost in costs.items() if cost.tokens_per_rollout}
    seconds = {
        i: cost.seconds_per_rollout + (cost.switch_seconds_per_rollout or 0.0)
        for i, cost in costs.items()
        if cost.seconds_per_rollout
    }
    found = [cost_matched("generated tokens", tokens, outcomes)]
    if seconds.keys() == costs.keys():
        found.append(cost_matched("engine-seconds", seconds, outcomes))
    return tuple(table for table in found if table is not None)


def _detailed(
    store: RolloutStore,
    conditions: Sequence[ConditionResult],
    loaded: Sequence[Loaded],
    ks: Sequence[int] | None,
    workers: int,
) -> tuple[ConditionResult, ...]:
    """The same with all that a report shows of single conditions."""
    tasks = [(one, result.totals, result.curve) for one, result in zip(loaded, conditions, strict=True)]
    found = zip(conditions, loaded, details(store, tasks, workers), strict=True)
    return tuple(replace(result, detail=made, by_group=curves_by_group(one, ks)) for result, one, made in found)


def _result(store: RolloutStore, one: Loaded, ks: Sequence[int] | None) -> ConditionResult:
    plan = planned_extent(store.extents(one.id), one.correctness)
    if ks is not None and one.outcomes.problems:
        check_ks(ks, one)
    totals = store.totals(one.id)
    return condition_result(
        one.stored,
        one.correctness,
        totals,
        scorers=one.scorers,
        extent=plan.extent if plan else None,
        planned=plan.planned if plan else None,
        missing=plan.missing if plan else None,
        ks=ks,
    )


def check_ks(ks: Sequence[int], one: Loaded) -> None:
    """Refuse a k at which a condition's pass@k cannot be estimated.

    Raises:
        UsageError: a k is below 1 or above the fewest rollouts of any problem.
    """
    if min(ks) < 1:
        raise UsageError(f"--k must be at least 1, got {min(ks)}: k is a number of rollouts")
    n_min = one.outcomes.n_min
    # A baseline always shows its one k beside the conditions that have curves.
    if one.kind.is_sampled and max(ks) > n_min:
        raise UsageError(
            f"pass@{max(ks)} cannot be estimated for {one.label}: its problems have as few as {n_min} "
            f"rollouts, and k may not exceed n; use --k {n_min} or less, draw more with --samples, or name other "
            f"conditions"
        )
