"""Every normal is the float32 nearest to its exact value: against mpmath, and on other processors."""

import os
import subprocess
import sys

import mpmath
import numpy as np
import pytest

from esprobe.noise.boxmuller import MARGIN, FastBoxMuller
from esprobe.noise.exact import box_muller, nearest_normal
from tests.noise.oracle import (
    EDGES,
    FLOAT64_IS_WRONG,
    ZEROS,
    around,
    differing,
    exact_normals,
    joined,
    near_the_middle,
    oracle,
)

PIECE = 1 << 16


def test_random_words() -> None:
    assert not differing(np.random.Philox(key=1).random_raw(20_000))


def test_where_the_arithmetic_has_its_borders() -> None:
    assert not differing(EDGES)
    borders = np.arange(2**12, dtype=np.uint64) * np.uint64(2**20) + np.uint64(2**19)
    assert not differing(around(borders, -1, 0) << np.uint64(32) | np.uint64(2**32 - 2**22))
    last_places = 2 ** np.arange(32, dtype=np.uint64)
    assert not differing(
        joined(np.array([12345], np.uint64), np.concatenate([last_places, last_places - np.uint64(1)]))
    )


@pytest.mark.parametrize("low", [0, 2**31, 2**32 - 1])
def test_where_sine_or_cosine_is_0_the_normal_is_0_and_not_minus_0(low: int) -> None:
    normals = FastBoxMuller(4)(ZEROS << np.uint64(32) | np.uint64(low)).reshape(4, 2)
    assert (normals == 0).tolist() == [[False, True], [True, False], [False, True], [True, False]]
    assert not np.signbit(normals[normals == 0]).any()
    assert np.array_equal(np.sign(normals), [[1, 0], [0, 1], [-1, 0], [0, -1]])


def test_where_float64_is_in_doubt() -> None:
    """Four times as far around the middle as the code doubts, so that both sides of its border are there."""
    generator = np.random.Philox(key=2)
    found = 0
    for _ in range(16):
        words = generator.random_raw(PIECE)
        normals = FastBoxMuller(PIECE)(words)
        for which in near_the_middle(words, 4 * MARGIN):
            assert normals[which] == oracle(words[which // 2 : which // 2 + 1])[which % 2]
            found += 1
    assert found > 5  # expected: 16


@pytest.mark.parametrize(("word", "odd", "bits"), FLOAT64_IS_WRONG)
def test_where_float64_alone_is_wrong(word: int, odd: int, bits: int) -> None:
    words = np.array([word], np.uint64)
    assert oracle(words)[odd].view(np.uint32) == bits
    assert FastBoxMuller(1)(words)[odd].view(np.uint32) == bits


def test_the_exact_arithmetic_alone() -> None:
    words = np.concatenate([EDGES, np.random.Philox(key=3).random_raw(3_000)])
    assert np.array_equal(box_muller(words).view(np.uint32), oracle(words).view(np.uint32))


@pytest.mark.parametrize("bits", [16, 64, 96])
def test_the_exact_arithmetic_takes_as_many_bits_as_it_needs(bits: int) -> None:
    words = np.concatenate([EDGES[::7], np.random.Philox(key=6).random_raw(300)])
    found = [nearest_normal(word, odd, bits) for word in words.tolist() for odd in (0, 1)]
    assert np.array_equal(np.array(found, np.float32), oracle(words))


def test_float64_errs_by_less_than_the_bound_that_is_proved() -> None:
    words = np.concatenate([EDGES, np.random.Philox(key=4).random_raw(3_000)])
    values = FastBoxMuller(words.size).before_rounding(words).tolist()
    exact = [value for word in words.tolist() for value in exact_normals(word)]
    worst = max(abs((mpmath.mpf(a) - b) / b) for a, b in zip(values, exact, strict=True) if b)
    assert 2.0**-47 < worst < 143 * 2.0**-53 < MARGIN * 2.0**-53
    assert all(str(a) == "0.0" for a, b in zip(values, exact, strict=True) if not b)


def test_normals_are_the_same_on_processors_without_avx512_or_fused_multiply_add() -> None:
    """numpy's logarithm and its product of complex numbers, which the fast way uses, differ in the last bit."""
    code = (
        "import hashlib, numpy as np\n"
        "from esprobe.noise import standard_normal\n"
        "noise = standard_normal(57, 'w', 0, 1_000_000)\n"
        "print(hashlib.sha256(noise.tobytes()).hexdigest())\n"
    )
    digests = set()
    for features in ("", "X86_V4 AVX512_ICL AVX512_SPR", "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"):
        environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": features}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert digests == {"f560e5a1f08c0ab359ca1c45648d0362139c23fcc9d564ba898d857162e3849c\n"}


@pytest.mark.storm
def test_a_hundred_million_values_have_no_doubtful_one_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """All that lie near the middle, against mpmath; and a million others."""
    generator = np.random.Philox(key=5)
    fast, doubtful, near = FastBoxMuller(PIECE), 0, 0
    pieces = -(-100_000_000 // (2 * PIECE))
    for piece in range(pieces):
        words = generator.random_raw(PIECE)
        normals = fast(words)
        for which in near_the_middle(words, 4 * MARGIN):
            assert normals[which] == oracle(words[which // 2 : which // 2 + 1])[which % 2], hex(words[which // 2])
            near += 1
        doubtful += near_the_middle(words, MARGIN).size
        if piece < 8:
            assert not differing(words)
    with capsys.disabled():
        total = 2 * PIECE * pieces
        print(f"\n{total:,} normals; in doubt {doubtful} (1 in {total / doubtful:,.0f}), to mpmath as near ones {near}")
        print(f"and all of {8 * 2 * PIECE:,}; none differs")
