"""Noise v1's third step from mpmath, which shares nothing with our own arithmetic: 60 places, then float32."""

import mpmath
import numpy as np

from esprobe.noise.boxmuller import FastBoxMuller

mpmath.mp.dps = 60


def exact_normals(word: int) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Radius times cosine and times sine of a 64-bit word, to 60 places."""
    low, high = word % 2**32, word // 2**32
    radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(2 * low + 1) / 2**33))
    half_turns = mpmath.mpf(high) / 2**31
    return radius * mpmath.cospi(half_turns), radius * mpmath.sinpi(half_turns)


def rounded(value: mpmath.mpf) -> float:
    """The nearest float32, ties to even; of 0 the positive one. No value but 0 is below the smallest normal number."""
    with mpmath.workprec(24):
        return float(+value)


def oracle(words: np.ndarray) -> np.ndarray:
    """(2 n,) float32 from (n,) words."""
    return np.array([rounded(value) for word in words.tolist() for value in exact_normals(word)], np.float32)


def differing(words: np.ndarray) -> list[str]:
    """What the fast way gives other than the oracle."""
    found, wanted = FastBoxMuller(words.size)(words), oracle(words)
    wrong = np.flatnonzero(found.view(np.uint32) != wanted.view(np.uint32))
    return [f"word {words[i // 2]:#x}, normal {i % 2}: {found[i]!r}, not {wanted[i]!r}" for i in wrong]


def near_the_middle(words: np.ndarray, margin: int) -> np.ndarray:
    """Indexes of normals within so many units of a float64's last place of the middle between two float32s."""
    values = FastBoxMuller(words.size).before_rounding(words)
    low_bits = (values.view(np.uint64) & np.uint64(2**29 - 1)).astype(np.int64)
    return np.flatnonzero(np.abs(low_bits - 2**28) < margin)
