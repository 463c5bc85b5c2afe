"""Overlap of the sets of solved problems."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.mcnemar import mcnemar


@dataclass(frozen=True)
class OverlapRow:
    """Numbers of problems of one class by which of two conditions solves them at least once.

    Attributes:
        group: the problem class, or "all".
        only_a: solved by the first alone.
        only_b: solved by the second alone.
        both: solved by both.
        neither: solved by none.
    """

    group: str
    only_a: int
    only_b: int
    both: int
    neither: int


@dataclass(frozen=True)
class Overlap:
    """The solved sets of two conditions (or of two arms), over the problems that both have.

    Attributes:
        samples_a: rollouts per problem of the first, fewest and most: more rollouts solve more.
        samples_b: of the second.
        rows: one for each class, sorted, then "all".
        mcnemar: exact two-sided p of McNemar's test of (only_a, only_b); 1 if no problem is solved by one alone.
        only_a: indices of problems, ascending.
        only_b: likewise.
        both: likewise.
        neither: likewise.
    """

    samples_a: tuple[int, int]
    samples_b: tuple[int, int]
    rows: tuple[OverlapRow, ...]
    mcnemar: float
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    both: tuple[int, ...]
    neither: tuple[int, ...]

    @property
    def total(self) -> OverlapRow:
        """The row of all problems."""
        return self.rows[-1]


def overlap(
    indices: NDArray[np.int64],
    groups: Sequence[str],
    solved_a: NDArray[np.bool_],
    solved_b: NDArray[np.bool_],
    samples_a: tuple[int, int],
    samples_b: tuple[int, int],
) -> Overlap:
    """The solved sets of two conditions.

    Args:
        indices: (P,) problem indices, ascending.
        groups: their classes.
        solved_a: (P,) whether the first solves a problem at least once.
        solved_b: likewise the second.
        samples_a: fewest and most rollouts per problem of the first.
        samples_b: of the second.
    """
    sets = {
        "only_a": solved_a & ~solved_b,
        "only_b": solved_b & ~solved_a,
        "both": solved_a & solved_b,
        "neither": ~solved_a & ~solved_b,
    }
    classes = np.array(groups, dtype=object)
    masks = {group: classes == group for group in sorted(set(groups))} | {"all": np.ones(len(indices), np.bool_)}
    rows = tuple(
        OverlapRow(group, **{name: int((chosen & mask).sum()) for name, chosen in sets.items()})
        for group, mask in masks.items()
    )
    members = {name: tuple(indices[chosen].tolist()) for name, chosen in sets.items()}
    return Overlap(samples_a, samples_b, rows, mcnemar(rows[-1].only_a, rows[-1].only_b), **members)
