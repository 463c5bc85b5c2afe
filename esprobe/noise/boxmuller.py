"""Noise v1's third step, fast: float64 arithmetic with a proved error, and exact where that leaves the rounding open.

Owns the order of operations that docs/noise.md proves the bound for ("Why the result is exact"); a change here needs
a new look at that proof. Only additions, multiplications, divisions and roots of float64s are used, which IEEE 754
defines to the bit; no maths library.
"""

import math

import numpy as np
from numpy.typing import NDArray

from esprobe.noise.exact import nearest_normal
from esprobe.noise.tables import ANGLE_BITS, BIAS, FIRST_LOG, LAST_LOG, LOG_BITS, logarithms, nearest, turns

# What is left of the angle within a table's entry, in units of 2 pi / 2**32, times this is a third of it in radians.
THIRD_OF_ANGLE = 2 * math.pi / 2**32 / 3
# The bits of 2**52, whose last place is 1: with an integer below 2**52 in them they are the float64 2**52 + integer.
_TWO_TO_52 = (BIAS + 52) << 52

# The low 29 bits of a float64 say where between two float32s it is; 2**28 is the middle. docs/noise.md proves an
# error below 2**7.2 units of the last place.
MARGIN = 2**9
_TO_THE_TOP = np.uint64(64 - 29)  # shifted there, all higher bits are gone
_FROM_THE_MIDDLE = np.uint64(2**63 + (MARGIN << 35))
_DOUBTFUL_BELOW = np.uint64(2 * MARGIN << 35)

_TURNS = nearest(turns()).view(np.complex128)
# The entries before the first are never used, and memory that is never touched takes no place; a subtraction from every
# index would take time.
_LOGARITHMS = np.zeros(LAST_LOG + 1)
_LOGARITHMS[FIRST_LOG:] = nearest(logarithms())


class FastBoxMuller:
    """``exact.box_muller`` to the bit, for at most ``capacity`` words at once.

    The value in float64 errs by less than ``MARGIN`` units of its last place. Where the middle between two float32s
    is not that near, which leaves one value in 2**19, its float32 is the exact value's.
    """

    def __init__(self, capacity: int) -> None:
        self._integers = np.empty(capacity, np.uint64)
        self._floats = np.empty((3, capacity))
        self._values = np.empty(capacity, np.complex128)
        self._turned = np.empty(capacity, np.complex128)
        self._doubtful = np.empty(2 * capacity, np.bool_)
        self._normals = np.empty(2 * capacity, np.float32)

    def __call__(self, words: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Normals of ``words``; they hold until the next call.

        Args:
            words: (n,), at most the capacity.

        Returns:
            (2 n,) float32: cosine and sine of each word in turn.
        """
        exact = self.before_rounding(words)
        normals, doubtful = self._normals[: exact.size], self._doubtful[: exact.size]
        normals[:] = exact
        between = exact.view(np.uint64)
        between <<= _TO_THE_TOP
        between += _FROM_THE_MIDDLE
        np.less(between, _DOUBTFUL_BELOW, out=doubtful)
        for which in np.flatnonzero(doubtful).tolist():
            normals[which] = nearest_normal(int(words[which // 2]), which % 2)
        return normals

    def before_rounding(self, words: NDArray[np.uint64]) -> NDArray[np.float64]:
        """The normals of ``words`` in float64, with a relative error below 2**-45.8; 0.0 where they are exactly 0.

        Radius: with x = lo + 0.5, c the table's number next to it and z = (x - c) / (x + c), the logarithm of x / c is
        2 (z + z**3 / 3 + ...). Angle: with b what it exceeds the table's by and g = 1 - b**2 / 3, tan b is b / g but
        for b**4 / 45 of it, and g (g**2 + b**2) is 1 but for b**6 / 27, so that the turn by b is the complex number
        sqrt(g) (g + i b): g can go under the radius's root. Constant factors are left to the table of turns.

        Args:
            words: (n,), at most the capacity.

        Returns:
            (2 n,): cosine and sine of each word in turn; it holds until the next call.
        """
        count = words.size
        bits, values, turned = self._integers[:count], self._values[:count], self._turned[:count]
        x, y, log = self._floats[:, :count]
        signed = bits.view(np.int64)  # indexes, and faster than unsigned to make floats of
        ratio = bits.view(np.float64)

        np.bitwise_and(words, 2**32 - 1, out=bits)
        np.bitwise_or(bits, _TWO_TO_52, out=bits)
        np.subtract(bits.view(np.float64), 2.0**52 - 0.5, out=x)
        np.add(x.view(np.int64), 1 << (51 - LOG_BITS), out=signed)  # rounds to the nearest entry
        np.right_shift(signed, 52 - LOG_BITS, out=signed)
        np.take(_LOGARITHMS, signed, out=log, mode="clip")
        np.left_shift(signed, 52 - LOG_BITS, out=y.view(np.int64))
        np.subtract(x, y, out=ratio)
        x += y
        ratio /= x
        np.multiply(ratio, ratio, out=x)
        x += 3.0
        x *= ratio
        log -= x  # 3/4 of -2 ln u1

        np.left_shift(words, ANGLE_BITS, out=bits)
        np.right_shift(signed, 32 + ANGLE_BITS, out=signed)  # with the sign: up to half an entry either way
        np.multiply(signed, THIRD_OF_ANGLE, out=x)
        np.multiply(x, x, out=y)
        np.subtract(1 / 3, y, out=y)
        log *= y
        np.sqrt(log, out=log)
        np.multiply(log, y, out=values.real)
        np.multiply(log, x, out=values.imag)
        np.add(words, 1 << (63 - ANGLE_BITS), out=bits)  # rounds to the nearest entry
        np.right_shift(bits, 64 - ANGLE_BITS, out=bits)
        np.take(_TURNS, signed, out=turned, mode="clip")
        values *= turned
        return values.view(np.float64)
