"""The progress of each condition, from counts: complete conditions are not scanned."""

from collections.abc import Iterable
from datetime import datetime
from sqlite3 import Connection

from esprobe.records import ConditionStatus, Extent, StoredCondition
from esprobe.records.training import TrainingStatus
from esprobe.store.choice import listed
from esprobe.store.database import scalars
from esprobe.store.given_up import given_up, stored_under, without_marks
from esprobe.store.reader import RolloutStore
from esprobe.store.training import training_runs

_LAST_WORK = (
    "SELECT session_id, work.rollouts, started_utc, updated_utc FROM work JOIN session ON session.id = session_id "
    "WHERE condition_id = ? AND work.rollouts > 0 ORDER BY session_id DESC LIMIT 1"
)


def condition_statuses(store: RolloutStore) -> list[ConditionStatus]:
    """The status of every condition with a plan that tables list, all from one state of the file.

    Raises:
        StoreError: the database cannot be read.
    """
    with store.snapshot():
        return [
            _status(store, stored, extents)
            for stored in listed(store, store.conditions())
            if (extents := store.extents(stored.id))
        ]


def training_statuses(store: RolloutStore) -> list[TrainingStatus]:
    """The status of every training run, all from one state of the file."""
    with store.snapshot():
        conditions: dict[str, list[StoredCondition]] = {}
        for one in store.conditions():
            if one.condition.run is not None:
                conditions.setdefault(one.condition.run, []).append(one)
        found = []
        for run in training_runs(store):
            own = conditions.get(run.digest, [])
            begun = [one for one in own if one.condition.iteration == len(run.iterations)]
            totals = [store.totals(one.id) for one in own]
            found.append(
                TrainingStatus(
                    run=run,
                    rollouts=sum(one.rollouts for one in totals),
                    tokens=sum(one.tokens for one in totals),
                    begun=sum(store.totals(one.id).rollouts for one in begun),
                )
            )
        return found


def total_eta_s(statuses: Iterable[ConditionStatus]) -> float | None:
    """Seconds until nothing is missing; None if not known.

    Conditions of one session advance together, so their rates add up; sessions are assumed to run one after another.
    """
    groups: dict[int | None, list[ConditionStatus]] = {}
    for status in statuses:
        if status.missing:
            groups.setdefault(status.session_id, []).append(status)
    total = 0.0
    for group in groups.values():
        rate = sum(status.rate or 0.0 for status in group)
        if not rate:
            return None
        total += sum(status.missing for status in group) / rate
    return total


def _status(store: RolloutStore, stored: StoredCondition, extents: list[Extent]) -> ConditionStatus:
    parts = segments(extents)
    everything = set().union(*(problems for _, problems in parts)) if parts else set()
    marks = given_up(store, stored.id)
    parts = without_marks(parts, marks)
    planned = sum(len(seeds) * len(problems) for seeds, problems in parts)
    planned += sum(stored_under(store, stored.id, mark) for mark in marks)
    totals = store.totals(stored.id)
    incomplete: set[int] = set()
    seeds: tuple[tuple[int, int], ...] = ()
    with store.reading() as connection:
        if totals.rollouts < planned:
            counts = _counts(connection, stored.id)
            incomplete = _incomplete(connection, stored.id, counts, parts, everything)
            seeds = _runs(s for run, problems in parts for s in run if counts.get(s, 0) < len(problems))
        last = connection.execute(_LAST_WORK, (stored.id,)).fetchone()
    session_id, rate = (last[0], _rate(*last[1:])) if last is not None else (None, None)
    return ConditionStatus(
        stored, planned, totals, len(everything), len(incomplete), seeds, session_id, rate, tuple(marks)
    )


def _runs(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """(first, last) of each run of consecutive numbers; ``numbers`` must be ascending."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        first = runs.pop()[0] if runs and runs[-1][1] == number - 1 else number
        runs.append((first, number))
    return tuple(runs)


def _counts(connection: Connection, condition_id: int) -> dict[int, int]:
    """Rollouts by seed."""
    by_seed = "SELECT seed, count(*) FROM rollout WHERE condition_id = ? GROUP BY seed"
    return {seed: count for seed, count in connection.execute(by_seed, (condition_id,))}


def segments(extents: list[Extent]) -> list[tuple[range, set[int]]]:
    """The union of all extents, as (range of seeds, problems planned for each of them)."""
    edges = sorted({e.first_seed for e in extents} | {e.first_seed + e.samples for e in extents})
    parts = []
    for first, stop in zip(edges, edges[1:], strict=False):
        covering = [e for e in extents if e.first_seed <= first and stop <= e.first_seed + e.samples]
        problems: set[int] = set().union(*(range(e.first_index, e.stop_index) for e in covering))
        if problems:
            parts.append((range(first, stop), problems))
    return parts


def _incomplete(
    connection: Connection,
    condition_id: int,
    counts: dict[int, int],
    parts: list[tuple[range, set[int]]],
    everything: set[int],
) -> set[int]:
    """Indices of the problems with missing rollouts; only seeds that are partly complete are queried."""
    incomplete: set[int] = set()
    for seeds, problems in parts:
        if any(seed not in counts for seed in seeds):
            incomplete |= problems
    under_seed = (
        "SELECT problem_index FROM rollout JOIN problem ON problem.id = problem_id WHERE condition_id = ? AND seed = ?"
    )
    for seeds, problems in parts:
        for seed in seeds:
            if incomplete >= everything:
                return incomplete
            if 0 < counts.get(seed, 0) < len(problems):
                incomplete |= problems - set(scalars(connection, under_seed, (condition_id, seed)))
    return incomplete


def _rate(rollouts: int, started_utc: str, updated_utc: str) -> float | None:
    seconds = (datetime.fromisoformat(updated_utc) - datetime.fromisoformat(started_utc)).total_seconds()
    return rollouts / seconds if seconds > 0 else None
