"""How often a random well-formed expression is right, without any model.

Owns the definition of a random expression and its exact enumeration. Does not know models or curves.

A random expression is made by merging: begin with the given numbers; pick an ordered pair of the values that are
left and one of + - * /, all equally likely; put the result in their place; go on until one value is left. Every
number is used exactly once and every expression is one the scorer can read. It is right if the value is within 1e-5
of the target, as for the scorer es-paper/1; a division by zero on the way makes it wrong.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

MOST_NUMBERS = 5
"""Five numbers can be merged in 233,280 ways (sums and products once), six in 21 million: those are not walked."""

TOLERANCE = 1e-5

_AT_ONCE = 1_024
"""Problems enumerated together: about a megabyte for each of a few arrays."""


def null_chances(numbers: Sequence[Sequence[int]], targets: Sequence[str | float]) -> list[float | None]:
    """The chance of each problem that a random expression solves it.

    In float64, in which the scorer computes as well: integers are exact below 2**53, quotients are rounded once.

    Args:
        numbers: of each problem.
        targets: of each problem, as the data have them.

    Returns:
        One chance a problem, None for one of more than ``MOST_NUMBERS`` numbers or of none.
    """
    of_count: dict[int, list[int]] = defaultdict(list)
    for row, given in enumerate(numbers):
        of_count[len(given)].append(row)
    chances: list[float | None] = [None] * len(numbers)
    for count, rows in of_count.items():
        if not 1 <= count <= MOST_NUMBERS:
            continue
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            drawn = np.array([numbers[row] for row in part], dtype=np.float64).T
            goals = np.array([float(targets[row]) for row in part])
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                found = _enumerate(list(drawn), goals)
            for row, chance in zip(part, found, strict=True):
                chances[row] = float(chance)
    return chances


def _enumerate(values: list[NDArray[np.float64]], goals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,) chance that merging ``values``, each (P,), ends at the goals, walking through every way."""
    if len(values) == 1:
        return np.asarray(np.abs(values[0] - goals) < TOLERANCE, dtype=np.float64)
    if len(values) == 3:
        x, y, z = values
        return _enumerate_three(x, y, z, goals)
    chance = np.zeros_like(goals)
    for i, j in combinations(range(len(values)), 2):
        rest = [value for at, value in enumerate(values) if at not in (i, j)]
        for value, ways in zip(_merged(values[i], values[j]), _WAYS, strict=True):
            chance += ways * _enumerate([*rest, value], goals)
    # Ordered pairs of the values, times four operations.
    return chance / (len(values) * (len(values) - 1) * 4)


def _enumerate_three(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], goals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same for three values, the two merges of all ways at once: most of the time is spent here."""
    once = _merged(np.stack([x, x, y]), np.stack([y, z, z]))  # (6 ways, 3 pairs, P)
    twice = _merged(once, np.stack([z, y, x]))  # (6 ways, 6 ways, 3 pairs, P)
    hits = np.abs(twice - goals) < TOLERANCE
    counts = hits.sum(axis=2, dtype=np.float64).reshape(len(_WAYS) ** 2, -1)
    chance: NDArray[np.float64] = np.outer(_WAYS, _WAYS).ravel() @ counts / (24 * 8)
    return chance


_WAYS = np.array([2.0, 2.0, 1.0, 1.0, 1.0, 1.0])
"""A sum or a product is the same either way round, so it is counted twice instead of made twice."""


def _merged(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6, ...) the results of merging two values, in the order of ``_WAYS``.

    A division by zero becomes NaN, which every later operation keeps; an infinity would turn to 0 as a divisor.
    """
    return np.stack([a + b, a * b, a - b, b - a, np.where(b == 0, np.nan, a / b), np.where(a == 0, np.nan, b / a)])
