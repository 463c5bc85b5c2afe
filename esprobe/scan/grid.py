"""The values of a scan."""

import math

from esprobe.errors import UsageError


def parse_range(text: str) -> tuple[float, float]:
    """(lowest, highest) of ``LOW:HIGH``.

    Raises:
        UsageError: the text is not a range of positive numbers with LOW below HIGH.
    """
    low, _, high = text.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = math.nan, math.nan
    if not all(math.isfinite(end) and end > 0 for end in ends):
        raise UsageError(f"--range must be LOW:HIGH with positive numbers, such as 0.0003:0.02, got {text!r}")
    if ends[0] >= ends[1]:
        raise UsageError(f"--range must be LOW:HIGH with LOW < HIGH, got {text!r}")
    return ends


def logarithmic(low: float, high: float, points: int) -> tuple[float, ...]:
    """Values from ``low`` to ``high``, evenly spaced on a log scale and rounded to two digits.

    Raises:
        UsageError: fewer than two points.
    """
    if points < 2:
        raise UsageError(f"--points must be at least 2, got {points}")
    step = (math.log10(high) - math.log10(low)) / (points - 1)
    # The ends are not computed from their logarithms, which could round 0.225 to other digits.
    between = (10 ** (math.log10(low) + step * i) for i in range(1, points - 1))
    return tuple(dict.fromkeys(float(f"{value:.1e}") for value in (low, *between, high)))
