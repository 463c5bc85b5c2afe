"""Conditions of a database with their curves and nulls; all else that a report shows is in ``whole_report``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from esprobe.analysis.available_tasks import learn_task_files, unavailable_tasks
from esprobe.analysis.condition import condition_result
from esprobe.analysis.loaded import Loaded
from esprobe.analysis.mixed_scorers import mixed_scorers
from esprobe.analysis.nulls import known_nulls
from esprobe.analysis.planned import planned_extent
from esprobe.errors import StoreError, UsageError
from esprobe.records import SessionRecord, StoredCondition
from esprobe.results.given_up import SeedsGivenUp
from esprobe.results.results import ConditionResult, Results
from esprobe.store import RolloutStore
from esprobe.store.choice import Filters, choose, narrowed, table_labels
from esprobe.store.database import stored_problems
from esprobe.store.given_up import given_up
from esprobe.tasks.published import published_points

if TYPE_CHECKING:
    from esprobe.results.training_selection import TrainingSelection


def load_results(
    database: Path,
    filters: Filters = Filters(),  # noqa: B008 - it is frozen
    ks: Sequence[int] | None = None,
    *,
    whole: bool = False,
    workers: int = 1,
    base: str | None = None,
    trained: str | None = None,
) -> Results:
    """Everything a table or report shows of ``database``.

    Args:
        database: the file.
        filters: which conditions to show.
        ks: the k of pass@k; powers of two up to each condition's n if None.
        whole: True for a report, with comparisons, selection and verdict; False for curves and nulls alone.
        workers: processes that may work on a report of millions of rollouts. More than one only where the program
            that calls this can be loaded again (``if __name__ == "__main__"``).
        base: for a report, the name of the model that the other one was made from, or a tail of it; None to find it.
        trained: likewise the model that training made.

    Raises:
        StoreError: the file cannot be read, or holds no condition.
        UsageError: a filter matches nothing, a k is not between 1 and the rollouts of every problem, or ``base`` or
            ``trained`` does not name one model.
    """
    with RolloutStore.open(database) as store, store.snapshot():
        known = known_conditions(store, database)
        chosen = _chosen(store, known, filters)
        if ks is not None and set(ks) != {1} and all(not c.condition.kind.is_sampled for c in chosen):
            raise UsageError(
                "a greedy baseline has one rollout per problem, so only --k 1 can be estimated; leave --k out"
            )
        labels = table_labels(store, narrowed(store, known, filters), chosen)
        loaded = load(store, chosen, labels)
        learn_task_files(store)
        with stored_problems(database):
            nulls = known_nulls(store, loaded)
        conditions = tuple(_result(store, one, ks, whole=whole) for one in loaded)
        gain = None
        training: tuple[TrainingSelection, ...] = ()
        if whole:
            from esprobe.analysis.roles import find_roles
            from esprobe.analysis.training_gain import training_gain
            from esprobe.analysis.whole_report import detailed, training_against_selection  # which passk does not need
            from esprobe.results.training_gain import Roles

            roles = find_roles(store, chosen, base, trained)
            gain = training_gain(store, loaded, roles, ks) if isinstance(roles, Roles) else roles
            conditions = detailed(store, conditions, loaded, ks, workers)
            if not filters.conditions and filters.model is None:
                training = training_against_selection(store, narrowed(store, known, filters), loaded)
        sessions = {s.id: s for condition in chosen for s in store.sessions(condition.id)}
    results = replace(
        _assembled(loaded, conditions, list(sessions.values())),
        asked_ks=None if ks is None else tuple(ks),
        labels={stored.id: labels[stored.id] for stored in chosen},
    )
    null_ks = results.ks or (1,)
    failures = {**nulls.failures, **_failed_forms(loaded, conditions)}
    results = replace(
        results,
        nulls=tuple(null.result(null_ks) for null in nulls.found),
        unavailable_tasks=unavailable_tasks(loaded, nulls.tasks, failures),
    )
    if whole:
        from esprobe.analysis.whole_report import with_comparisons

        results = replace(results, training_gain=gain, training_selection=training)
        results = with_comparisons(results, loaded, nulls.found, ks)
    return results


def load_tasks(database: Path, filters: Filters, ks: Sequence[int] | None = None) -> list[Results]:
    """What tables show of each task by itself, in the order in which the tasks were first sampled.

    Raises:
        StoreError: as ``load_results``.
        UsageError: likewise.
    """
    return [load_results(database, replace(filters, task=task), ks) for task in tasks_of(database, filters)]


def tasks_of(database: Path, filters: Filters) -> list[str]:
    """The names of the tasks of the conditions that filters select.

    Raises:
        StoreError: the file cannot be read, or holds no condition.
        UsageError: a filter fits nothing.
    """
    with RolloutStore.open(database) as store, store.snapshot():
        chosen = _chosen(store, known_conditions(store, database), filters)
        return list(dict.fromkeys(stored.condition.task for stored in chosen))


def _failed_forms(loaded: Sequence[Loaded], conditions: Sequence[ConditionResult]) -> dict[str, str]:
    """Why a task could not say which answers are equal, by its name."""
    return {
        one.condition.task: result.detail.task_error
        for one, result in zip(loaded, conditions, strict=True)
        if result.detail is not None and result.detail.task_error is not None
    }


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


def _chosen(store: RolloutStore, known: Sequence[StoredCondition], filters: Filters) -> list[StoredCondition]:
    found = choose(store, known, filters)
    if not found:
        raise StoreError(
            f"{store.path} holds nothing but the populations of training runs, which are shown only if asked for; see "
            f"esprobe status --db {store.path}, or add --condition training"
        )
    return found


def one_task(conditions: Sequence[StoredCondition]) -> None:
    """Refuse conditions of several tasks, which cannot be put into one figure.

    Raises:
        UsageError: there are several.
    """
    tasks = list(dict.fromkeys(stored.condition.task for stored in conditions))
    if len(tasks) > 1:
        raise UsageError(
            f"this database has several tasks ({', '.join(tasks)}), whose problems cannot be counted together; name "
            f"one: --task {tasks[0]}"
        )


def load(store: RolloutStore, chosen: Sequence[StoredCondition], labels: Mapping[int, str]) -> list[Loaded]:
    """Conditions with their verdicts, each under its label of ``labels``."""
    return [
        Loaded(stored, *store.verdicts(stored.id), labels[stored.id], scorers_of(store, stored.id)) for stored in chosen
    ]


def scorers_of(store: RolloutStore, condition_id: int) -> tuple[str, ...]:
    """The scorers of a condition's verdicts; one that was edited between two sessions counts as two."""
    sources: dict[str, set[str]] = {}
    for session in store.sessions(condition_id):
        if session.rollouts and session.scorer_digest is not None:
            sources.setdefault(session.scorer, set()).add(session.scorer_digest)
    return tuple(
        name if len(sources.get(name, ())) < 2 else f"{name} (source {digest[:8]})"
        for name in store.scorers(condition_id)
        for digest in (sorted(sources[name]) if len(sources.get(name, ())) > 1 else ("",))
    )


def _result(store: RolloutStore, one: Loaded, ks: Sequence[int] | None, *, whole: bool) -> ConditionResult:
    marks = given_up(store, one.id)
    plan = planned_extent(store.extents(one.id), one.correctness, marks)
    if plan is not None and not one.kind.is_listed:  # seeds of a population are hashed, so its extent is a number only
        planned = plan.extent.problems * plan.extent.samples
        plan = replace(plan, planned=planned, missing=max(planned - store.totals(one.id).rollouts, 0))
    if ks is not None and one.outcomes.problems:
        if marks and not whole and min(ks) >= 1:  # a table may have a larger k of other conditions
            ks = [k for k in ks if k <= one.outcomes.n_min]
        if ks:
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
        given_up=SeedsGivenUp.of(marks),
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
