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

_AT_ONCE = 4_096
"""Problems enumerated together; one way at a time, so that they take no memory to speak of."""


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
            for row, chance in zip(part, _enumerate(list(drawn), goals), strict=True):
                chances[row] = float(chance)
    return chances


def _enumerate(values: list[NDArray[np.float64]], goals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,) chance that merging ``values``, each (P,), ends at the goals, walking through every way.

    A sum or a product is the same either way round, so it is counted twice instead of made twice. A division by
    zero becomes NaN, which every later operation keeps; an infinity would turn to 0 as a divisor.
    """
    if len(values) == 1:
        return np.asarray(np.abs(values[0] - goals) < TOLERANCE, dtype=np.float64)
    chance = np.zeros_like(goals)
    for i, j in combinations(range(len(values)), 2):
        a, b = values[i], values[j]
        rest = [value for at, value in enumerate(values) if at not in (i, j)]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for made, ways in (
                (a + b, 2),
                (a * b, 2),
                (a - b, 1),
                (b - a, 1),
                (np.where(b == 0, np.nan, a / b), 1),
                (np.where(a == 0, np.nan, b / a), 1),
            ):
                chance += ways * _enumerate([*rest, made], goals)
    # Ordered pairs of the values, times four operations.
    return chance / (len(values) * (len(values) - 1) * 4)
