"""Many contrasts at once: Holm's adjustment, and the band that covers a whole curve."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 20_000
"""Simulated maxima; the 95 % quantile of so many is off by about half a per cent."""


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) step-down adjustment: reject where the adjusted p is below alpha, and errors stay below alpha.

    Entries without a p keep none and do not count.
    """
    ranked = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    running = 0.0
    for rank, (p, i) in enumerate(ranked):
        running = max(running, min(1.0, (len(ranked) - rank) * p))
        adjusted[i] = running
    return adjusted


def simultaneous_critical(covariance: NDArray[np.float64], df: int, level: float) -> float:
    """How many standard errors to either side cover all K estimates at once.

    The quantile of max |t| over a multivariate t with this covariance's correlations, simulated with a fixed seed.

    Args:
        covariance: (K, K), symmetric; entries of no variance count for nothing.
        df: degrees of freedom that all share.
        level: the share of bands that should cover.

    Raises:
        ValueError: no entry has a variance.
    """
    varying = np.flatnonzero(np.diag(covariance) > 0)
    if not varying.size:
        raise ValueError("no estimate has a variance, so there is no band")
    kept = covariance[np.ix_(varying, varying)]
    sd = np.sqrt(np.diag(kept))
    # Inclusion-exclusion can leave a matrix that is not quite a covariance.
    weights, axes = np.linalg.eigh(kept / np.outer(sd, sd))
    root = axes * np.sqrt(np.maximum(weights, 0.0))
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    normals, scales = _draws(varying.size, df)
    largest = np.abs(normals @ root.T).max(axis=1) * scales
    largest.sort()
    # numpy.quantile would do the same and import numpy's masked arrays, which takes longer than all of this.
    return float(np.interp(level * (DRAWS - 1), np.arange(DRAWS), largest))


@lru_cache(maxsize=8)
def _draws(size: int, df: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(20260901)
    return rng.standard_normal((DRAWS, size)), np.sqrt(df / rng.chisquare(df, DRAWS))
