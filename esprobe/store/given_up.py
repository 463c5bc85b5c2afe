"""Reading which seeds of a condition were given up: they are planned, and not owed."""

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from esprobe.errors import StoreError
from esprobe.records.given_up import GivenUp, runs_of
from esprobe.store.database import damaged, scalar
from esprobe.store.reader import RolloutStore

_MIGRATION = "m006_tasks"

COLUMNS = "condition_id, first_index, stop_index, seeds, judged, cut_off, checksum"
"""The columns of a row but its id."""


def given_up(store: RolloutStore, condition_id: int) -> list[GivenUp]:
    """The marks of a condition, which have no rollout in common; none in a file of an older esprobe.

    Raises:
        StoreError: one has changed since it was written: the file is damaged.
    """
    query = f"SELECT {COLUMNS} FROM given_up WHERE condition_id = ? ORDER BY id"
    found = []
    for row in store.rows_since(_MIGRATION, query, (condition_id,)):
        mark = whole_mark(row)
        if mark is None:
            what = f"the seeds of condition {condition_id} that were given up do not match their checksum"
            raise StoreError(damaged(store.path, what))
        found.append(mark)
    return found


class Tally(NamedTuple):
    """Sums over some stored rollouts."""

    rollouts: int
    correct: int
    cut_off: int


def tally(store: RolloutStore, condition_id: int, first_index: int, stop_index: int, seeds: Sequence[int]) -> Tally:
    """Sums over what is stored of a rectangle of problems x seeds."""
    query = (
        "SELECT count(*), coalesce(sum(correct), 0), coalesce(sum(finish_reason = 'length'), 0) FROM rollout "
        "JOIN problem ON problem.id = problem_id WHERE condition_id = ? AND seed IN (SELECT value FROM json_each(?)) "
        "AND problem_index >= ? AND problem_index < ?"
    )
    with store.reading() as connection:
        values = (condition_id, json.dumps(list(seeds)), first_index, stop_index)
        return Tally(*connection.execute(query, values).fetchone())


def stored_under(store: RolloutStore, condition_id: int, mark: GivenUp) -> int:
    """Rollouts that are stored although their seed and problem are marked."""
    query = (
        "SELECT count(*) FROM rollout JOIN problem ON problem.id = problem_id WHERE condition_id = ? "
        "AND seed BETWEEN ? AND ? AND problem_index >= ? AND problem_index < ?"
    )
    with store.reading() as connection:
        return sum(
            scalar(connection, query, (condition_id, run.start, run.stop - 1, mark.first_index, mark.stop_index))
            for run in runs_of(mark.seeds)
        )


def without_marks(parts: Iterable[tuple[range, set[int]]], marks: Sequence[GivenUp]) -> list[tuple[range, set[int]]]:
    """What is left of a plan, in the form of ``status.segments``, without what is marked."""
    left = list(parts)
    for mark in marks:
        marked = set(range(mark.first_index, mark.stop_index))
        before, left = left, []
        for seeds, problems in before:
            inside = mark.seeds.intersection(seeds)
            left += [(run, problems) for run in (runs_of(set(seeds) - inside) if inside else [seeds])]
            left += [(run, problems - marked) for run in runs_of(inside) if problems - marked]
    return sorted(left, key=lambda part: part[0].start)


def whole_mark(columns: Sequence[Any]) -> GivenUp | None:
    """The mark from the columns of a row without its id; None if they do not match its checksum."""
    *values, checksum = columns
    if not isinstance(values[3], str) or checksum_of(values) != checksum:
        return None
    _, first, stop, runs, judged, cut_off = values
    seeds = frozenset(seed for run_first, run_last in json.loads(runs) for seed in range(run_first, run_last + 1))
    return GivenUp(first, stop, seeds, judged, cut_off)


def columns_of(condition_id: int, mark: GivenUp) -> tuple[Any, ...]:
    """The columns of its row without id and checksum."""
    runs = json.dumps([[run.start, run.stop - 1] for run in runs_of(mark.seeds)], separators=(",", ":"))
    return (condition_id, mark.first_index, mark.stop_index, runs, mark.judged, mark.cut_off)


def checksum_of(values: Sequence[Any]) -> int:
    """The checksum of a row, from ``columns_of``."""
    return zlib.crc32(json.dumps(list(values)).encode())
