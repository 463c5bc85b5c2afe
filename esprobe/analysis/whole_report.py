"""What a report shows besides curves: details of single conditions, comparisons, selection and verdict."""

from collections.abc import Sequence
from dataclasses import replace

from esprobe.analysis.choose import field_of, select
from esprobe.analysis.details import curves_by_group
from esprobe.analysis.judge import judge
from esprobe.analysis.loaded import Loaded
from esprobe.analysis.nulls import Null
from esprobe.analysis.pairs import all_pairs, arms_overlap, compare_null, with_holm
from esprobe.analysis.parallel import details
from esprobe.analysis.training_selection import training_selections
from esprobe.records import StoredCondition
from esprobe.results.results import ConditionResult, Results
from esprobe.results.training_selection import TrainingSelection
from esprobe.stats.cost import CostMatched, cost_matched
from esprobe.store import RolloutStore


def with_comparisons(
    results: Results, loaded: Sequence[Loaded], nulls: Sequence[Null], ks: Sequence[int] | None
) -> Results:
    """The same with all that takes more than one condition; selection and verdict have a k of their own.

    Where models have roles, selection, verdict and arms are of the base alone.
    """
    stored = [one for one in loaded if one.outcomes.problems]
    sampled = [one for one in stored if one.kind.is_sampled]
    judged = stored
    if (roles := results.roles) is not None:
        judged = [one for one in stored if one.condition.model_fingerprint == roles.base.fingerprint]
    field = field_of(judged)
    selection = None if field is None else select(field, results.published)
    against = (compare_null(null, one, ks) for null in nulls for one in sampled)
    return replace(
        results,
        pairs=with_holm(all_pairs(stored, ks)),
        against_null=with_holm([pair for pair in against if pair is not None]),
        arms=arms_overlap([one for one in judged if one.kind.is_sampled]),
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


def detailed(
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


def training_against_selection(
    store: RolloutStore, known: Sequence[StoredCondition], loaded: Sequence[Loaded]
) -> tuple[TrainingSelection, ...]:
    """Every training run against selection among perturbations.

    Args:
        store: the database.
        known: all of its conditions, those that a report does not list too.
        loaded: those that have been read.
    """
    if all(one.condition.run is None for one in known):
        return ()
    found = {one.id: one for one in loaded}

    def load_one(stored: StoredCondition) -> Loaded:
        if stored.id not in found:
            read = store.verdicts(stored.id)
            found[stored.id] = Loaded(stored, *read, stored.condition.label, store.scorers(stored.id))
        return found[stored.id]

    return training_selections(store, known, load_one)
