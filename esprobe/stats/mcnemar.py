"""McNemar's exact test, and sign flips over problems."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FLIPS = 4_999
"""Random sign flips beside the data's own; the smallest p is 1 / (FLIPS + 1)."""

_BLOCK = 1_000


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p that problems solved by one condition alone are equally likely to be of either.

    Twice the smaller tail of Binomial(only_a + only_b, 1/2), at most 1.
    """
    discordant = only_a + only_b
    tail = sum(math.comb(discordant, i) for i in range(min(only_a, only_b) + 1))
    # One division of whole numbers: 2**discordant alone does not fit a float beyond 1,023.
    return min(1.0, 2 * tail / (1 << discordant))


def sign_flip(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) two-sided p that differences are symmetric about 0, by flipping whole problems.

    Problems count as independent, which perturbations that all of them share do not let them be.

    Args:
        differences: (P, K), one row a problem.
    """
    observed = np.abs(differences.sum(axis=0))
    # A sum of the same numbers in another order may differ in its last digits.
    reached = observed * (1 - 1e-9)
    hits = np.ones(differences.shape[1])
    for signs in _signs(len(differences)):
        hits += (np.abs(signs @ differences) >= reached).sum(axis=0)
    share: NDArray[np.float64] = hits / (FLIPS + 1)
    return share


def _signs(problems: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of rows of random signs, the same for everyone."""
    rng = np.random.default_rng(20260901)
    width = -(-problems // 8)
    for start in range(0, FLIPS, _BLOCK):
        rows = min(_BLOCK, FLIPS - start)
        bits = np.frombuffer(rng.bytes(rows * width), np.uint8).reshape(rows, width)
        yield np.unpackbits(bits, axis=1, count=problems).astype(np.float64) * 2 - 1
