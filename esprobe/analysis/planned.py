"""What all sessions of a condition planned together, and how much of it is stored.

Each session plans a rectangle of problems x seeds. The rectangles may overlap, nest or lie far apart (a second
``--seed`` of five billion), so they are added up between their edges and never laid out as a grid of rollouts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from esprobe.records import Correctness, Extent
from esprobe.records.given_up import GivenUp


@dataclass(frozen=True)
class PlannedExtent:
    """The union of what sessions planned.

    Attributes:
        extent: its bounds; ``problems`` counts the problems planned by any session.
        planned: rollouts planned, less those that were given up and are not stored.
        missing: planned rollouts that are not stored.
    """

    extent: Extent
    planned: int
    missing: int


def planned_extent(
    extents: Sequence[Extent], correctness: Correctness, marks: Sequence[GivenUp] = ()
) -> PlannedExtent | None:
    """The union of ``extents``; None if no session planned anything. ``marks`` are not owed."""
    extents = [e for e in extents if e.problems and e.samples]  # imported rollouts may follow no plan
    if not extents:
        return None
    indices = np.array(sorted({edge for e in extents for edge in (e.first_index, e.stop_index)}))
    seeds = np.array(sorted({edge for e in extents for edge in (e.first_seed, e.first_seed + e.samples)}))
    covered = np.zeros((indices.size - 1, seeds.size - 1), np.bool_)
    for e in extents:
        rows = slice(*np.searchsorted(indices, [e.first_index, e.stop_index]))
        columns = slice(*np.searchsorted(seeds, [e.first_seed, e.first_seed + e.samples]))
        covered[rows, columns] = True
    heights, widths = np.diff(indices), np.diff(seeds)
    rows_at = np.searchsorted(correctness.problems, indices)
    columns_at = np.searchsorted(correctness.seeds, seeds)
    planned = stored = 0
    for i, j in zip(*np.nonzero(covered), strict=True):
        planned += int(heights[i]) * int(widths[j])
        block = correctness.stored[rows_at[i] : rows_at[i + 1], columns_at[j] : columns_at[j + 1]]
        stored += int(np.count_nonzero(block))
    for mark in marks:
        planned -= _unstored(mark, extents, correctness)
    problems = int(heights[covered.any(axis=1)].sum())
    first, stop, seed, end = (int(edge) for edge in (indices[0], indices[-1], seeds[0], seeds[-1]))
    return PlannedExtent(Extent(first, stop, seed, end - seed, problems), planned, planned - stored)


def _unstored(mark: GivenUp, extents: Sequence[Extent], correctness: Correctness) -> int:
    """Planned rollouts that are marked and not stored."""
    marked = np.array(sorted(mark.seeds))
    indices = np.arange(mark.first_index, mark.stop_index)
    planned = np.zeros((indices.size, marked.size), np.bool_)
    for e in extents:
        rows = slice(*np.searchsorted(indices, [e.first_index, e.stop_index]))
        columns = slice(*np.searchsorted(marked, [e.first_seed, e.first_seed + e.samples]))
        planned[rows, columns] = True
    rows_of = np.isin(correctness.problems, indices)
    columns_of = np.isin(correctness.seeds, marked)
    stored = np.count_nonzero(correctness.stored[rows_of][:, columns_of])
    return int(np.count_nonzero(planned)) - int(stored)
