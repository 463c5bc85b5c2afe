"""The Beta distribution, as numpy has no special functions."""

import math

import numpy as np
from numpy.typing import NDArray

_STEPS = 400
"""The continued fraction needs about sqrt(max(a, b)) steps; this is enough to n of 20,000."""


def beta_cdf(x: float, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(Beta(a, b) <= x), entry by entry: the regularised incomplete beta function I_x(a, b).

    By Lentz's method for the continued fraction of Abramowitz & Stegun 26.5.8, on whichever side it converges fast.

    Raises:
        ValueError: x is not inside 0..1, or an a or b is not above 0.
    """
    if not 0 <= x <= 1 or (a <= 0).any() or (b <= 0).any():
        raise ValueError(f"need 0 <= x <= 1 and a, b > 0, got x={x}")
    if x in (0.0, 1.0):
        return np.full(np.broadcast(a, b).shape, x)
    flip = x > (a + 1) / (a + b + 2)
    p, q = np.where(flip, b, a), np.where(flip, a, b)
    y = np.where(flip, 1 - x, x)
    front = np.exp(p * np.log(y) + q * np.log1p(-y) - log_beta(p, q)) / p
    tail = front * _fraction(p, q, y)
    below: NDArray[np.float64] = np.where(flip, 1 - tail, tail)
    return below


def log_beta(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log B(a, b), entry by entry."""
    terms = [math.lgamma(p) + math.lgamma(q) - math.lgamma(p + q) for p, q in zip(a.flat, b.flat, strict=True)]
    return np.array(terms).reshape(a.shape)


def _fraction(a: NDArray[np.float64], b: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    tiny = 1e-300
    c = np.ones_like(x)
    d = 1 - (a + b) * x / (a + 1)
    d = 1 / np.where(np.abs(d) < tiny, tiny, d)
    value = d.copy()
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = np.ones_like(x)
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / np.where(np.abs(d) < tiny, tiny, d)
            c = 1 + term / c
            c = np.where(np.abs(c) < tiny, tiny, c)
            change = c * d
            value *= change
        if (np.abs(change - 1) < 1e-13).all():
            break
    return value
