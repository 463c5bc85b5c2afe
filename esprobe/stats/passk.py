"""pass@k from counts: exactly for one problem, as arrays for many.

Owns the unbiased estimator of Chen et al. 2021 (arXiv:2107.03374). Does not know where counts come from, nor
how uncertain they are.
"""

import math
import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EXACT_UP_TO = 4096
"""Rollouts up to which values are computed in integers: a table of all powers of two takes 7 ms for n = 1,024, 54 ms
for n = 4,096."""
_ROW_COSTS = 32
"""A row of a table takes as long as n / 32 single values of the same k."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """P(at least one of k rollouts is correct), drawn without replacement from n of which c are correct.

    1 - C(n-c, k) / C(n, k): unbiased for 1 - (1-p)^k when k <= n (Chen et al. 2021, arXiv:2107.03374), where
    1 - (1-c/n)^k is biased down. In exact integers, rounded once.

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
        TypeError: a value is not a whole number (booleans and floats are refused).
    """
    n, c, k = _whole("n", n), _whole("c", c), _whole("k", k)
    if not 0 <= c <= n:
        raise ValueError(f"c must lie in 0..n, got c={c} of n={n}")
    if not 1 <= k <= n:
        raise ValueError(f"k must lie in 1..n, got k={k} with n={n}: pass@k cannot be estimated from fewer rollouts")
    subsets = math.comb(n, k)
    # int / int rounds correctly once and cannot overflow, however large both are.
    return (subsets - math.comb(n - c, k)) / subsets


_value = lru_cache(maxsize=65536)(pass_at_k)


def pass_at_k_table(n: int, ks: Sequence[int]) -> NDArray[np.float64]:
    """pass@k for every possible count: entry (j, c) is ``pass_at_k(n, c, ks[j])``, beyond n = 4,096 to 1e-12.

    Up to there ratios of integers are rounded once: the same bits on every processor, where the last bit of numpy's
    logarithm is not. Beyond it, integers of thousands of bits would take seconds for a curve. Differences of
    log-factorials lose four digits at n = 1,024, because ln n! is in the thousands there; the same ratio is the product
    over j < c of 1 - k/(n-j), whose logarithms are small where the answer is, so that their running sum keeps full
    relative precision down to pass@k = k/n.

    Returns:
        (K, n+1) float64; exactly 0 at c = 0 and exactly 1 where c > n - k.

    Raises:
        ValueError: unless 1 <= k <= n for every k.
        TypeError: n or a k is not a whole number.
    """
    n, ks = _whole("n", n), _whole_ks(ks, n)
    return np.array([_row(n, k) for k in ks]).reshape(len(ks), n + 1)


@lru_cache(maxsize=4096)
def _row(n: int, k: int) -> NDArray[np.float64]:
    """(n+1,) pass@k for each count of correct rollouts; not to be changed, because it is kept."""
    if k == 1:
        return np.arange(n + 1) / n
    row = np.ones(n + 1)
    row[0] = 0.0
    if n <= _EXACT_UP_TO:
        wrong = subsets = math.comb(n, k)  # subsets without a correct rollout, among all
        for c in range(1, n - k + 1):
            wrong = wrong * (n - c + 1 - k) // (n - c + 1)
            row[c] = (subsets - wrong) / subsets
    else:
        remaining = np.arange(n, k, -1, dtype=np.float64)
        row[1 : n - k + 1] = -np.expm1(np.cumsum(np.log1p(-k / remaining)))
    return row


def pass_at_k_curve(n: ArrayLike, c: ArrayLike, ks: Sequence[int]) -> NDArray[np.float64]:
    """pass@k of each problem with its own number of rollouts, for several k at once.

    Problems with fewer than k rollouts are an error and never dropped: those that are finished first would
    otherwise decide the estimate.

    Args:
        n: (P,) rollouts per problem, or one number for all.
        c: (P,) correct ones among them.
        ks: (K,) numbers of draws.

    Returns:
        (P, K) float64; its mean over problems is the estimate. Entry by entry ``pass_at_k``, beyond n = 4,096 to 1e-12.

    Raises:
        ValueError: there is no problem; not 0 <= c <= n everywhere; or not 1 <= k <= min n for every k.
        TypeError: a value is not a whole number.
    """
    counts = _whole_array("c", c)
    totals = np.broadcast_to(_whole_array("n", n), counts.shape)
    if counts.ndim != 1 or counts.size == 0:
        raise ValueError(f"c must hold one count for each of at least one problem, got shape {counts.shape}")
    if (counts < 0).any() or (counts > totals).any():
        raise ValueError("c must lie in 0..n for every problem")
    ks = _whole_ks(ks, int(totals.min()))
    values = np.empty((counts.size, len(ks)))
    for total in set(totals.tolist()):
        rows = totals == total
        # Where every problem has its own n (imported results), a table for each would compute what nobody reads.
        if total <= _EXACT_UP_TO and int(rows.sum()) * _ROW_COSTS < total:
            values[rows] = [[_value(total, count, k) for k in ks] for count in counts[rows].tolist()]
        else:
            values[rows] = pass_at_k_table(total, ks)[:, counts[rows]].T
    return values


def _whole(name: str, value: Any) -> int:
    # bool is an int to Python, and a count of True is always a mistake.
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None


def _whole_ks(ks: Sequence[int], n: int) -> list[int]:
    whole = [_whole("k", k) for k in ks]
    for k in whole:
        if not 1 <= k <= n:
            raise ValueError(f"k must lie in 1..{n} (the fewest rollouts of any problem), got {k}")
    return whole


def _whole_array(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must hold whole numbers, got {array.dtype}")
    return array.astype(np.int64)
