"""Noise v1's third step in Triton: from random words to the float32 nearest to the exact value.

Owns the kernel's arithmetic. The fast part is ``esprobe.noise.boxmuller``'s, operation by operation, so that the proof
in docs/noise.md holds here; compile with ``enable_fp_fusion=False``. Where it leaves the rounding open, the value is
computed once more in pairs of float64s (a value and what it lacks), with an error below 2**-95 of it.

In pairs: Dekker 1971, A floating-point technique for extending the available precision; Hida, Li and Bailey 2001,
Library for double-double and quad-double arithmetic. No fused multiply-add is used, because an interpreter has none.
"""

from functools import cache

import torch
import triton
import triton.language as tl

from esprobe.noise import tables
from esprobe.noise.boxmuller import MARGIN, THIRD_OF_ANGLE

_FIRST_LOG = tl.constexpr(tables.FIRST_LOG)
_LOGS = tl.constexpr(tables.LAST_LOG - tables.FIRST_LOG + 1)
_LOG_SHIFT = tl.constexpr(52 - tables.LOG_BITS)
_HALF_A_LOG = tl.constexpr(1 << (51 - tables.LOG_BITS))
_ANGLE_BITS = tl.constexpr(tables.ANGLE_BITS)
_REST_SHIFT = tl.constexpr(32 + tables.ANGLE_BITS)
_TURN_SHIFT = tl.constexpr(63 - tables.ANGLE_BITS)
_TURNS = tl.constexpr(2 * 2**tables.ANGLE_BITS)
_DOUBTFUL_FROM, _DOUBTFUL_TO = tl.constexpr(2**28 - MARGIN), tl.constexpr(2**28 + MARGIN)

_THIRD = tl.constexpr(THIRD_OF_ANGLE)
_SPLITTER = tl.constexpr(2.0**27 + 1)


@cache
def tables_on(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithms and turns, float64, on a device: all nearest values, then all rests; 260 KB in all."""
    made = []
    for values in (tables.logarithms(), tables.turns()):
        both = torch.cat([torch.from_numpy(tables.nearest(values)), torch.from_numpy(tables.rests(values))])
        made.append(both.to(device))
    return made[0], made[1]


@triton.jit
def normals(words, logs, turns):  # type: ignore[no-untyped-def]
    """Two normals of each word.

    Args:
        words: (n, 4) uint64.
        logs: pointer to the first of ``tables_on``.
        turns: pointer to the second.

    Returns:
        (n, 4, 2) float32: cosine and sine.
    """
    x, c, log_index, rest, turn_index = _reduced(words)
    ratio = (x - c) / (x + c)
    log = tl.load(logs + log_index) - (ratio * ratio + 3.0) * ratio
    b = rest * _THIRD
    g = 1.0 / 3.0 - b * b
    radius = tl.sqrt(log * g)
    along, across = radius * g, radius * b
    cosine, sine = tl.load(turns + turn_index), tl.load(turns + turn_index + 1)
    values = tl.join(along * cosine - across * sine, along * sine + across * cosine)
    rounded = values.to(tl.float32)
    places = values.to(tl.int64, bitcast=True) & (2**29 - 1)
    doubtful = (places >= _DOUBTFUL_FROM) & (places < _DOUBTFUL_TO)
    # One by one, and each by all threads: the registers for pairs of all values at once would cost every program speed.
    # One program of 1,024 normals in 500 comes here.
    place = tl.reshape(tl.arange(0, 8 * words.shape[0]), (words.shape[0], 4, 2))
    word_place = tl.reshape(tl.arange(0, 4 * words.shape[0]), (words.shape[0], 4))
    next_one = _first(place, doubtful)
    while next_one < 8 * words.shape[0]:
        word = tl.sum(tl.ravel(tl.where(word_place == next_one // 2, words, 0)), axis=0)
        even, even_rest, odd, odd_rest = pairs(word, logs, turns)
        is_odd = next_one % 2 == 1
        exact = _rounded(tl.where(is_odd, odd, even), tl.where(is_odd, odd_rest, even_rest))
        rounded = tl.where(place == next_one, exact, rounded)
        next_one = _first(place, doubtful & (place > next_one))
    return rounded


@triton.jit
def _first(place, chosen):  # type: ignore[no-untyped-def]
    """The smallest chosen place, or a number above all."""
    return tl.min(tl.ravel(tl.where(chosen, place, 2**30)), axis=0)


@triton.jit
def _reduced(words):  # type: ignore[no-untyped-def]
    """Exact: lo + 0.5 and the table's number next to it, that one's index; the angle's rest and its entry's index."""
    x = words.to(tl.uint32).to(tl.float64) + 0.5
    index = (x.to(tl.int64, bitcast=True) + _HALF_A_LOG) >> _LOG_SHIFT
    c = (index << _LOG_SHIFT).to(tl.float64, bitcast=True)
    rest = ((words << _ANGLE_BITS).to(tl.int64, bitcast=True) >> _REST_SHIFT).to(tl.float64)
    entry = ((words >> _TURN_SHIFT) + 1) >> 1  # rounded to the nearest, of which the last is the first again
    return x, c, index - _FIRST_LOG, rest, (entry.to(tl.int64) * 2) & (_TURNS - 1)


@triton.jit
def pairs(words, logs, turns):  # type: ignore[no-untyped-def]
    """The normals as pairs of float64s: cosine and its rest, sine and its rest; arguments as in ``normals``."""
    x, c, log_index, rest, turn_index = _reduced(words)

    # 3/4 of -2 ln u1 is the table's entry less 3 z + z^3 + 3/5 z^5 + 3/7 z^7 + 1/3 z^9, with z below 2^-10. What comes
    # after 3/5 z^5 is below 2^-62 of the whole: one float64 is enough for it.
    s, s_rest = _sum(x, c)
    z, z_rest = _divided(x - c, s, s_rest)
    w, w_rest = _times(z, z_rest, z, z_rest)
    p, p_rest = _sum(_float64(0.6), (3.0 / 7.0 + w / 3.0) * w)
    p, p_rest = _times(p, p_rest + 2.2204460492503132e-17, w, w_rest)
    p, p_rest = _plus(_float64(1.0), _float64(0.0), p, p_rest)
    p, p_rest = _times(p, p_rest, w, w_rest)
    p, p_rest = _plus(_float64(3.0), _float64(0.0), p, p_rest)
    p, p_rest = _times(p, p_rest, z, z_rest)
    log, log_rest = _plus(tl.load(logs + log_index), tl.load(logs + _LOGS + log_index), -p, -p_rest)
    part, part_rest = (
        _float64(0.037037037037037035),
        _float64(2.05596856412066e-18),
    )  # 1/27: 4/3 and the 6
    log, log_rest = _times(log, log_rest, part, part_rest)
    radius, radius_rest = _root(log, log_rest)

    # Sine and cosine of the rest, below 2^-10, by their series; after b^3 and b^4 one float64 is enough again.
    unit, unit_rest = _float64(1.4629180792671596e-09), _float64(5.702706049882589e-26)  # 2 pi / 2^32
    b, b_rest = _times(unit, unit_rest, rest, _float64(0.0))
    q, q_rest = _times(b, b_rest, b, b_rest)
    sine, sine_rest = _sum(_float64(-0.16666666666666666), (1.0 / 120.0 - (1.0 / 5040.0 - q / 362880.0) * q) * q)
    sine, sine_rest = _times(sine, sine_rest - 9.25185853854297e-18, q, q_rest)
    sine, sine_rest = _plus(_float64(1.0), _float64(0.0), sine, sine_rest)
    sine, sine_rest = _times(sine, sine_rest, b, b_rest)
    cosine, cosine_rest = _sum(_float64(0.041666666666666664), (q / 40320.0 - 1.0 / 720.0) * q)
    cosine, cosine_rest = _times(cosine, cosine_rest + 2.3129646346357427e-18, q, q_rest)
    cosine, cosine_rest = _plus(_float64(-0.5), _float64(0.0), cosine, cosine_rest)
    cosine, cosine_rest = _times(cosine, cosine_rest, q, q_rest)
    cosine, cosine_rest = _plus(_float64(1.0), _float64(0.0), cosine, cosine_rest)

    x, x_rest = tl.load(turns + turn_index), tl.load(turns + _TURNS + turn_index)
    y, y_rest = tl.load(turns + turn_index + 1), tl.load(turns + _TURNS + turn_index + 1)
    one, one_rest = _times(x, x_rest, cosine, cosine_rest)
    two, two_rest = _times(y, y_rest, sine, sine_rest)
    even, even_rest = _plus(one, one_rest, -two, -two_rest)
    even, even_rest = _times(even, even_rest, radius, radius_rest)
    one, one_rest = _times(y, y_rest, cosine, cosine_rest)
    two, two_rest = _times(x, x_rest, sine, sine_rest)
    odd, odd_rest = _plus(one, one_rest, two, two_rest)
    odd, odd_rest = _times(odd, odd_rest, radius, radius_rest)
    return even, even_rest, odd, odd_rest


@triton.jit  # type: ignore[untyped-decorator]
def _float64(value: tl.constexpr):  # type: ignore[no-untyped-def]
    """A constant as an argument: Triton would hand on a plain number as a float32."""
    return tl.full((), value, tl.float64)


@triton.jit
def _rounded(value, rest):  # type: ignore[no-untyped-def]
    """The float32 nearest to value + rest, where value is the float64 nearest to that."""
    bits = value.to(tl.int64, bitcast=True)
    # Only if the value is the middle between two float32s does the rest decide: one place up or down tells which.
    middle = (bits & (2**29 - 1)) == 2**28
    bits += tl.where(middle, tl.where((value > 0) == (rest > 0), 1, -1), 0)
    return bits.to(tl.float64, bitcast=True).to(tl.float32)


@triton.jit
def _sum(a, b):  # type: ignore[no-untyped-def]
    """The exact sum of two float64s, as a pair."""
    total = a + b
    b_in_it = total - a
    return total, (a - (total - b_in_it)) + (b - b_in_it)


@triton.jit
def _sum_of_ordered(a, b):  # type: ignore[no-untyped-def]
    """The same, of ``a`` that is not the smaller."""
    total = a + b
    return total, b - (total - a)


@triton.jit
def _product(a, b):  # type: ignore[no-untyped-def]
    """The exact product of two float64s, as a pair."""
    total = a * b
    a_high = _SPLITTER * a - (_SPLITTER * a - a)
    b_high = _SPLITTER * b - (_SPLITTER * b - b)
    a_low, b_low = a - a_high, b - b_high
    return total, ((a_high * b_high - total) + a_high * b_low + a_low * b_high) + a_low * b_low


@triton.jit
def _plus(a, a_rest, b, b_rest):  # type: ignore[no-untyped-def]
    """The sum of two pairs, also where they cancel."""
    total, rest = _sum(a, b)
    rests, rest_of_rests = _sum(a_rest, b_rest)
    total, rest = _sum_of_ordered(total, rest + rests)
    return _sum_of_ordered(total, rest + rest_of_rests)


@triton.jit
def _times(a, a_rest, b, b_rest):  # type: ignore[no-untyped-def]
    """The product of two pairs."""
    total, rest = _product(a, b)
    return _sum_of_ordered(total, rest + (a * b_rest + a_rest * b))


@triton.jit
def _divided(a, b, b_rest):  # type: ignore[no-untyped-def]
    """A float64 over a pair, by long division in two digits and a third for the rounding of the second."""
    first = a / b
    product, product_rest = _times(b, b_rest, first, _float64(0.0))
    left, left_rest = _plus(a, _float64(0.0), -product, -product_rest)
    second = left / b
    product, product_rest = _times(b, b_rest, second, _float64(0.0))
    left, left_rest = _plus(left, left_rest, -product, -product_rest)
    first, second = _sum_of_ordered(first, second)
    return _plus(first, second, left / b, _float64(0.0))


@triton.jit
def _root(a, a_rest):  # type: ignore[no-untyped-def]
    """The square root of a pair above 0: one float64's, and one step of Newton's."""
    root = tl.sqrt(a)
    square, square_rest = _product(root, root)
    return _sum_of_ordered(root, ((a - square) - square_rest + a_rest) / (2.0 * root))
