"""Values to scan, and how they are typed."""

import math

from esprobe.errors import UsageError


def parse_range(text: str) -> tuple[float, float]:
    """(lowest, highest) of ``LOW:HIGH``.

    Raises:
        UsageError: the text is no range of positive numbers.
    """
    low, _, high = text.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = math.nan, math.nan
    if not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and 0 < ends[0] < ends[1]):
        raise UsageError(f"--range {text!r} is no range of positive numbers; use LOW:HIGH, such as 0.0003:0.03")
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
