"""The tables hold what they say, to twice float64's places, and small enough steps for the bound that is proved."""

import mpmath
import numpy as np

from esprobe.noise import tables
from tests.noise import oracle  # sets mpmath's places

U = 2.0**-53
C = (np.arange(tables.FIRST_LOG, tables.LAST_LOG + 1) << (52 - tables.LOG_BITS)).view(np.float64)


def worst(values: list[int], exact: list[mpmath.mpf]) -> mpmath.mpf:
    """The largest relative error of entries and rests together; where the exact value is 0 both must be 0.0."""
    assert mpmath.mp.dps == oracle.PLACES
    errors = []
    for entry, rest, wanted in zip(tables.nearest(values), tables.rests(values), exact, strict=True):
        if wanted:
            errors.append(abs((mpmath.mpf(float(entry)) + mpmath.mpf(float(rest))) / wanted - 1))
        else:
            assert (str(entry), str(rest)) == ("0.0", "0.0")
    return max(errors)


def test_turns() -> None:
    angles = [mpmath.mpf(2 * turn) / 2**tables.ANGLE_BITS for turn in range(2**tables.ANGLE_BITS)]
    exact = [6 * part for angle in angles for part in (mpmath.cospi(angle), mpmath.sinpi(angle))]
    assert worst(tables.turns(), exact) < 2.0**-104


def test_logarithms() -> None:
    assert (C[0], C[-1]) == (0.5, 2.0**32)
    exact = [-1.5 * mpmath.log(mpmath.mpf(float(c)) / 2**32) for c in C]
    assert worst(tables.logarithms(), exact) < 2.0**-104


def test_the_logarithms_share_of_the_bound_is_what_docs_noise_md_says() -> None:
    """At both ends of every entry, where its series is cut off most."""
    entry = 4 / 3 * tables.nearest(tables.logarithms())
    half = 1 << (51 - tables.LOG_BITS)
    for side in (-half, half):
        x = np.clip((C.view(np.int64) + side).view(np.float64), 0.5, 2.0**32 - 0.5)
        z = np.abs((x - C) / (x + C))
        log = -2 * np.log(x / 2**32)
        cut_off = 0.8 * z**5 / (1 - z * z)
        rounding = entry + 4 * (4 * z + 4 / 3 * z**3) + log
        assert (cut_off / log).max() < 103.2 * U
        assert (rounding / log).max() < 7.01
