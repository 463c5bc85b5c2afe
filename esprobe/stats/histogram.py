"""The distribution of correct counts over problems, and coverage against depth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 20


@dataclass(frozen=True)
class CorrectCounts:
    """How many problems have how many correct rollouts.

    Attributes:
        problems: problems with at least one rollout.
        solved: those with at least one correct one.
        all_correct: those without a wrong one.
        coverage: the share of problems solved at least once in their n rollouts; None without problems.
        depth: the mean share of correct rollouts among the solved problems; None if none is solved.
        unsolved: problems in no bin, because no rollout is correct.
        edges: B + 1 ascending shares of correct rollouts from 0 to 1, the bins' ends.
        bins: B numbers of solved problems by their share c/n; bin b holds edges[b] < c/n <= edges[b + 1].
    """

    problems: int
    solved: int
    all_correct: int
    coverage: float | None
    depth: float | None
    unsolved: int
    edges: tuple[float, ...]
    bins: tuple[int, ...]


def correct_counts(n: NDArray[np.int64], c: NDArray[np.int64]) -> CorrectCounts:
    """The distribution of counts, by share so that problems with unequal n can be compared.

    Args:
        n: (P,) rollouts of each problem, at least 1.
        c: (P,) correct ones among them.
    """
    solved = c > 0
    # Whole numbers: ceil(c/n * BINS) in floats puts 3/20 into the bin of 4/20.
    of_bin = -(-c[solved] * BINS // n[solved]) - 1
    return CorrectCounts(
        problems=int(c.size),
        solved=int(solved.sum()),
        all_correct=int((c == n).sum()),
        coverage=float(solved.mean()) if c.size else None,
        depth=float((c[solved] / n[solved]).mean()) if solved.any() else None,
        unsolved=int((~solved).sum()),
        edges=tuple(b / BINS for b in range(BINS + 1)),
        bins=tuple(np.bincount(of_bin, minlength=BINS).tolist()),
    )
