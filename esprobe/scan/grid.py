"""Values to scan, and how they are typed."""

import math

from esprobe.errors import UsageError


def parse_range(text: str) -> tuple[float, float]:
    """(lowest, highest) of ``LOW:HIGH``.

    Raises:
        UsageError: the text is no range of positive numbers, or its ends are not in order.
    """
    low, _, high = text.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = math.nan, math.nan
    if not all(math.isfinite(end) and end > 0 for end in ends):
        raise UsageError(f"--range {text!r} is no range of positive numbers; use LOW:HIGH, such as 0.0003:0.02")
    if ends[0] >= ends[1]:
        raise UsageError(
            f"--range {text!r} does not go up, so there is nothing between to scan; put the lower end first"
        )
    return ends


def logarithmic(low: float, high: float, points: int) -> tuple[float, ...]:
    """Values from ``low`` to ``high`` in about equal ratios, rounded to two digits so that people can type them.

    Raises:
        UsageError: fewer than two points.
    """
    if points < 2:
        raise UsageError(f"--points {points} makes no grid; use 2 or more")
    step = (math.log10(high) - math.log10(low)) / (points - 1)
    # The ends as they were asked for: by way of their logarithms 0.225 could round to another two digits.
    between = (10 ** (math.log10(low) + step * i) for i in range(1, points - 1))
    return tuple(dict.fromkeys(float(f"{value:.1e}") for value in (low, *between, high)))
