"""The two tables from which noise v1 is computed fast: made of whole numbers, and so the same everywhere.

Owns which numbers are in them: logarithms of numbers of 8 binary places after the first, cosines and sines of the
multiples of 2 pi / 4096. A value v is split into the float64 nearest to it and the one nearest to the rest, which
together miss it by less than 2**-104 of it; numpy's code needs the first alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from esprobe.noise.exact import log_2, minus_log, sine_and_cosine

ANGLE_BITS = 12
LOG_BITS = 8
BIAS = 1023  # of a float64's exponent

_LAST_OCTAVE = 32  # lo + 0.5 lies between 2**-1 and 2**32
# A logarithm's index: the bits of the float64 of which it is, from its 8th place after the point up. For 0.5 and 2**32:
FIRST_LOG, LAST_LOG = (BIAS - 1) << LOG_BITS, (BIAS + _LAST_OCTAVE) << LOG_BITS

_BITS = 128  # of the fixed point; no entry but 0 is below 2**-10


def turns() -> list[int]:
    """6 cos and 6 sin of each multiple of 2 pi / 4096, in turn, in fixed point for ``nearest`` and ``rests``.

    The 6 undoes the constant factors that the fast code leaves out.
    """
    sine_of_one, cosine_of_one = sine_and_cosine(1, ANGLE_BITS, _BITS)
    eighth = [(1 << _BITS, 0)]  # cosine and sine, each turned on from the last
    for _ in range(2 ** (ANGLE_BITS - 3)):
        cosine, sine = eighth[-1]
        on = cosine * cosine_of_one - sine * sine_of_one, sine * cosine_of_one + cosine * sine_of_one
        eighth.append((on[0] >> _BITS, on[1] >> _BITS))
    quarter = eighth + [(sine, cosine) for cosine, sine in eighth[-2:0:-1]]
    found = []
    for _ in range(4):
        found += [6 * value for pair in quarter for value in pair]
        quarter = [(-sine, cosine) for cosine, sine in quarter]
    return found


def logarithms() -> list[int]:
    """-(3/2) ln(c / 2**32) for c of index ``FIRST_LOG`` to ``LAST_LOG``, in fixed point: the last is exactly 0."""
    octave = [minus_log(2**LOG_BITS + i, LOG_BITS, _BITS) for i in range(2**LOG_BITS)]
    log2 = log_2(_BITS)
    return [
        3 * (octave[index % 2**LOG_BITS] + (LAST_LOG // 2**LOG_BITS - index // 2**LOG_BITS) * log2) // 2
        for index in range(FIRST_LOG, LAST_LOG + 1)
    ]


def nearest(values: Sequence[int]) -> NDArray[np.float64]:
    """(n,): of two integers Python's division gives the nearest float64."""
    return np.array([value / (1 << _BITS) for value in values])


def rests(values: Sequence[int]) -> NDArray[np.float64]:
    """(n,): what ``nearest`` lacks to each value."""
    found = []
    for value in values:
        numerator, denominator = (value / (1 << _BITS)).as_integer_ratio()
        found.append((value * denominator - (numerator << _BITS)) / (denominator << _BITS))
    return np.array(found)
