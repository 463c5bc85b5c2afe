"""Noise v1's third step from mpmath, which shares nothing with our own arithmetic: 60 places, then float32."""

import mpmath
import numpy as np

from esprobe.noise.boxmuller import FastBoxMuller

PLACES = mpmath.mp.dps = 60

ZEROS = np.arange(4, dtype=np.uint64) << np.uint64(30)
# A radius at its largest and smallest, at the borders of the logarithm's first and last tables, and in the middle.
LOWS = np.array(
    [0, 1, 2, 3, 2**31, 2**31 + 2**22, 2**32 - 2**23, 2**32 - 2**22 - 1, 2**32 - 2**22, 2**32 - 2, 2**32 - 1], np.uint64
)


def joined(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """All words made of one of each."""
    return (high.astype(np.uint64)[:, None] << np.uint64(32) | low.astype(np.uint64)[None, :]).ravel()


def around(places: np.ndarray, *offsets: int) -> np.ndarray:
    return ((places.astype(np.int64)[:, None] + np.array(offsets)).ravel() % 2**32).astype(np.uint64)


EDGES = joined(around(ZEROS, -(2**20), -(2**19) - 1, -(2**19), -1, 0, 1, 2**19 - 1, 2**19, 2**20), LOWS)

# Word, normal and float32. Found among 50 million words near those on which float64 errs most: it rounded these to the
# other side of the middle.
FLOAT64_IS_WRONG = [
    (0xFFF808BCFFC07E18, 0, 0x3D345D75),
    (0x80080C87FFBFC33B, 0, 0xBD35662D),
    (0x80180E49FFBF8E75, 1, 0xB8D68BD1),
    (0x7FF7F6AFFFBFA5C1, 0, 0xBD358FCC),
]


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
