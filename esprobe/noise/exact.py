"""Noise v1's third step as it is defined: the float32 nearest to the exact value, in whole numbers of any length.

Owns the fixed-point arithmetic: a real number v is the integer nearest or next to v * 2**bits. Slow, some 15
microseconds a normal; ``boxmuller`` is the fast way, and asks here only where float64 leaves the rounding open.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

_FIRST_BITS = 128
# In units of 2**-bits, far more than the sum of all truncations in ``nearest_normal``: a logarithm errs by less than
# 2**14 (34 times ln 2 and a series of some dozen terms, each off by a unit or two), its root, which is at least
# 2**-16, by less than 2**30; sine and cosine by less than 2**8.
_ERROR = 2**40


def box_muller(words: NDArray[np.uint64]) -> NDArray[np.float32]:
    """The definition's third step: two normals from each 64-bit word, low half the radius, high half the angle.

    Args:
        words: (n,).

    Returns:
        (2 n,) float32: cosine and sine of each word in turn.
    """
    return np.array([nearest_normal(word, odd) for word in words.tolist() for odd in (0, 1)], np.float32)


def nearest_normal(word: int, odd: int, bits: int = _FIRST_BITS) -> float:
    """One normal, correctly rounded.

    Args:
        word: 0 <= word < 2**64.
        odd: 0 for the cosine, 1 for the sine.
        bits: of the fixed point; doubled until they decide the rounding, so that the result does not depend on them.

    Returns:
        A float that is a float32: the nearest to sqrt(-2 ln u1) cos(2 pi u2), or sin, with u1 = (word % 2**32 + 0.5) /
        2**32 and u2 = (word // 2**32) / 2**32. Where the cosine or the sine is 0, 0.0 and never -0.0.
    """
    low, high = word % 2**32, word // 2**32
    quarters = (high + 2**29) // 2**30
    rest = high - quarters * 2**30  # at most an eighth of a turn
    quarters = (quarters - odd) % 4  # the sine is the cosine a quarter turn back
    if rest == 0 and quarters % 2:
        return 0.0
    while True:
        radius = math.isqrt(2 * minus_log(2 * low + 1, 33, bits) << bits)
        sine, cosine = sine_and_cosine(rest, 32, bits)
        value = radius * (cosine, -sine, -cosine, sine)[quarters] >> bits
        rounded = _to_float32(abs(value), bits)
        if rounded is not None:
            return math.copysign(rounded, value)
        # Ends, because the exact value is transcendental and so never in the middle between two float32s.
        bits *= 2


def minus_log(numerator: int, power: int, bits: int) -> int:
    """-ln(numerator / 2**power) in fixed point; numerator > 0."""
    exponent = numerator.bit_length() - 1
    if numerator * numerator > 2 ** (2 * exponent + 1):
        exponent += 1  # numerator / 2**exponent lies between the roots of 1/2 and 2
    return (power - exponent) * log_2(bits) - 2 * _atanh(numerator - 2**exponent, numerator + 2**exponent, bits)


def sine_and_cosine(turns: int, power: int, bits: int) -> tuple[int, int]:
    """Of 2 pi turns / 2**power in fixed point; at most an eighth of a turn, in either direction."""
    angle = 2 * _pi(bits) * turns >> power
    sums = [0, 0]
    term, n = 1 << bits, 0
    while term not in (0, -1):  # -1 is what the shift makes of small negative numbers
        sums[n % 2] += term if n % 4 < 2 else -term
        n += 1
        term = (term * angle >> bits) // n
    return sums[1], sums[0]


@cache
def log_2(bits: int) -> int:
    """The logarithm of 2 in fixed point."""
    return 2 * _atanh(1, 3, bits)


@cache
def _pi(bits: int) -> int:
    """Machin's formula, with 16 bits more inside."""
    inner = bits + 16
    return 4 * (4 * _atan_of_inverse(5, inner) - _atan_of_inverse(239, inner)) >> 16


def _atan_of_inverse(divisor: int, bits: int) -> int:
    power, n, total = (1 << bits) // divisor, 1, 0
    while power:
        total += power // n if n % 4 == 1 else -(power // n)
        power //= divisor * divisor
        n += 2
    return total


def _atanh(numerator: int, denominator: int, bits: int) -> int:
    ratio = (abs(numerator) << bits) // denominator
    square = ratio * ratio >> bits
    power, n, total = ratio, 1, 0
    while power:
        total += power // n
        power = power * square >> bits
        n += 2
    return total if numerator >= 0 else -total


def _to_float32(value: int, bits: int) -> float | None:
    """The float32 nearest to all numbers within the error around ``value``; None if that may be either of two.

    All values but 0 are above 2**-46, so that none is below float32's smallest normal number.
    """
    half_unit = value.bit_length() - 25  # the unit in the last of 24 places is 2**(half_unit + 1)
    if half_unit < 0 or value <= _ERROR:
        return None
    halves = (value - _ERROR) >> half_unit
    if halves != (value + _ERROR) >> half_unit:
        return None
    return math.ldexp((halves + 1) // 2, half_unit + 1 - bits)
