"""The lowest point of a function of few variables, by Nelder and Mead (1965)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


def minimise(
    function: Callable[[NDArray[np.float64]], float],
    start: Sequence[float],
    *,
    step: float = 0.7,
    tolerance: float = 1e-9,
    most: int = 600,
) -> NDArray[np.float64]:
    """The best point found from ``start``, with the usual reflection, expansion, contraction and shrinkage.

    Args:
        function: finite everywhere.
        start: where to begin.
        step: size of the first simplex along each axis.
        tolerance: spread of values over the simplex, relative to their size, at which to stop.
        most: evaluations after which to stop anyway.
    """
    corners = [np.array(start, dtype=np.float64)]
    corners += [corners[0] + step * axis for axis in np.eye(len(start))]
    values = [function(corner) for corner in corners]
    used = len(values)
    while used < most:
        order = np.argsort(values, kind="stable")
        corners, values = [corners[i] for i in order], [values[i] for i in order]
        if values[-1] - values[0] <= tolerance * (abs(values[0]) + tolerance):
            break
        centre = np.mean(corners[:-1], axis=0)
        away = centre - corners[-1]
        tried, value = centre + away, function(centre + away)
        used += 1
        if value < values[0]:
            farther, lower = centre + 2 * away, function(centre + 2 * away)
            used += 1
            if lower < value:
                tried, value = farther, lower
        elif value >= values[-2]:
            inward = 0.5 if value < values[-1] else -0.5
            nearer, other = centre + inward * away, function(centre + inward * away)
            used += 1
            if other >= min(value, values[-1]):
                corners = [corners[0], *((corner + corners[0]) / 2 for corner in corners[1:])]
                values = [values[0], *map(function, corners[1:])]
                used += len(corners) - 1
                continue
            tried, value = nearer, other
        corners[-1], values[-1] = tried, value
    return corners[int(np.argmin(values))]
