"""Student's t, for intervals whose variance was estimated from few clusters."""

import math
from functools import lru_cache

MANY = 1000
"""Degrees of freedom beyond which a sum of so many terms takes long, and an expansion is accurate."""


@lru_cache(maxsize=1024)
def t_quantile(probability: float, df: int) -> float:
    """The t below which ``probability`` of Student's distribution with ``df`` degrees of freedom lies.

    Found by bisection on the distribution's closed form for whole df (Abramowitz & Stegun 26.7.3 and 26.7.4; many df by
    an expansion), over the angle atan(t / sqrt(df)), in which it is bounded and smooth.

    Raises:
        ValueError: not 1/2 <= probability < 1, or df below 1.
    """
    if not 0.5 <= probability < 1 or df < 1:
        raise ValueError(f"need 1/2 <= probability < 1 and df >= 1, got {probability} and {df}")
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _within(middle, df) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(middle)


def two_sided(t: float, df: int) -> float:
    """The probability that |t| of Student's distribution with ``df`` degrees of freedom is at least this large."""
    return max(0.0, 1 - _within(math.atan(abs(t) / math.sqrt(df)), df))


def _within(angle: float, df: int) -> float:
    """The probability that |t| <= sqrt(df) tan(angle)."""
    return _within_many(angle, df) if df > MANY else _within_exactly(angle, df)


def _within_many(angle: float, df: int) -> float:
    """The same by Hill's normal expansion (1970, Communications of the ACM 13, algorithm 395), accurate there."""
    a = df - 0.5
    b = 48 * a * a
    y = a * math.log1p(math.tan(angle) ** 2)
    z = (((((-0.4 * y - 3.3) * y - 24) * y - 85.5) / (0.8 * y * y + 100 + b) + y + 3) / b + 1) * math.sqrt(y)
    return math.erf(z / math.sqrt(2))


def _within_exactly(angle: float, df: int) -> float:
    """The same in df / 2 terms."""
    square = math.cos(angle) ** 2
    odd = df % 2
    term = math.cos(angle) if odd else 1.0
    total = term if df > 1 else 0.0
    for j in range(2 + odd, df - 1, 2):
        term *= square * (j - 1) / j
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
