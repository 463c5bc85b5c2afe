"""Noise v1 against an implementation of its own definition, written out here in plain integers and math."""

import hashlib
import math
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esprobe.noise import FastBoxMuller, box_muller, fill_standard_normal, noise_key, standard_normal

_M0, _M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_W0, _W1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_MASK = 2**64 - 1


def philox4x64_10(counter: int, key: int) -> tuple[int, int, int, int]:
    """Salmon et al. 2011, in Python integers."""
    c0, c1, c2, c3 = ((counter >> (64 * i)) & _MASK for i in range(4))
    k0, k1 = key & _MASK, key >> 64
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & _MASK, (p0 >> 64) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


def by_definition(seed: int, keyed_by: str, element: int) -> float:
    """DESIGN's steps 1 to 3, one element at a time."""
    blob = b"esprobe/1\0" + struct.pack("<Q", seed) + b"\0" + keyed_by.encode()
    key = int.from_bytes(hashlib.sha256(blob).digest()[:16], "little")
    word = philox4x64_10(element // 8 + 1, key)[(element % 8) // 2]
    radius = math.sqrt(-2.0 * math.log(((word & 0xFFFFFFFF) + 0.5) / 2**32))
    angle = 2.0 * math.pi * ((word >> 32) / 2**32)
    return radius * (math.cos(angle) if element % 2 == 0 else math.sin(angle))


def within_one_ulp(actual: np.ndarray, expected: list[float]) -> bool:
    """Two maths libraries may round a float64 differently, which shows in float32 once in 10^8 values."""
    wanted = np.array(expected, np.float64)
    return bool((np.abs(actual.astype(np.float64) - wanted) <= np.spacing(np.abs(actual))).all())


def test_golden_values() -> None:
    noise = standard_normal(57, "model.embed_tokens.weight", 0, 4_000_003)
    golden = {
        0: 0x3E3DC1B4,  # 0.1853092
        1: 0xBF7B18F4,  # -0.9808495
        7: 0x3F7414CD,  # 0.9534424
        8: 0xBF082C92,  # -0.5319301
        1000: 0x3F1D0527,  # 0.6133599
        65535: 0xBF2DD192,  # -0.6789790
        262144: 0x3F4D67CB,  # 0.8023650
        3999999: 0xBF65F371,  # -0.8982459
        4000002: 0x3F0C7816,  # 0.5487074
    }
    for element, bits in golden.items():
        assert noise[element].view(np.uint32) == bits
    tied = standard_normal(2**63 - 1, "lm_head.weight", 2**33 + 5, 3, "tied", numel=2**34)
    assert tied.view(np.uint32).tolist() == [0x3F323DAF, 0x3D5B62F7, 0xBFC5656A]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    name=st.text(max_size=30).filter(lambda text: text.isprintable()),
    start=st.integers(0, 2**40),
    count=st.integers(0, 40),
)
def test_equals_its_definition(seed: int, name: str, start: int, count: int) -> None:
    noise = standard_normal(seed, name, start, count)
    assert noise.dtype == np.float32
    assert noise.shape == (count,)
    assert within_one_ulp(noise, [by_definition(seed, name, start + i) for i in range(count)])


def assert_fast_is_the_definition(words: np.ndarray) -> None:
    fast = FastBoxMuller(1 << 14)
    for start in range(0, words.size, 1 << 14):
        piece = words[start : start + (1 << 14)]
        assert np.array_equal(fast(piece).view(np.uint32), box_muller(piece).view(np.uint32))


def test_the_fast_way_gives_every_bit_of_the_definition() -> None:
    assert_fast_is_the_definition(np.random.Philox(key=7).random_raw(4_000_000))


def test_the_fast_way_at_the_zeros_of_sine_and_cosine_and_at_the_borders_of_its_table() -> None:
    borders = np.arange(2**11)[:, None] * 2**21 + np.arange(-40, 40)
    zeros = np.arange(4)[:, None] * 2**30 + np.arange(-(2**20), 2**20, 37)
    high = np.concatenate([borders.ravel(), zeros.ravel()]).astype(np.int64) % 2**32
    for low in (0, 2**31, 2**32 - 1):
        assert_fast_is_the_definition(high.astype(np.uint64) << np.uint64(32) | np.uint64(low))


def test_the_fast_way_errs_by_far_less_than_what_it_allows_for() -> None:
    words = np.random.Philox(key=8).random_raw(1 << 14)
    low, high = words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)
    radius = np.sqrt(-2 * np.log((low.astype(np.float64) + 0.5) * 2.0**-32))
    angle = high.astype(np.float64) * 2.0**-32 * (2 * np.pi)
    found = FastBoxMuller(1 << 14).before_rounding(words)
    assert np.abs(found[0::2] - radius * np.cos(angle)).max() < 2e-15 * radius.max()
    assert np.abs((found[1::2] - radius * np.sin(angle)) / radius).max() < 2e-15


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 200_000), count=st.integers(0, 100_000))
def test_a_slice_is_the_slice_of_the_whole(start: int, count: int) -> None:
    whole = standard_normal(3, "w", 0, 300_000)
    assert np.array_equal(standard_normal(3, "w", start, count), whole[start : start + count])


@settings(max_examples=30, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 200_000), st.integers(0, 9) | st.integers(0, 150_000)), max_size=20
    )
)
def test_pieces_filled_together_are_each_what_it_is_alone(pieces: list[tuple[int, int, int]]) -> None:
    filled = [(noise_key(seed, "w", 1), start, np.full(count, np.nan, np.float32)) for seed, start, count in pieces]
    fill_standard_normal(filled)
    for (seed, start, count), (_, _, out) in zip(pieces, filled, strict=True):
        assert np.array_equal(out, standard_normal(seed, "w", start, count))


def test_pieces_that_broke_off_leave_nothing_behind() -> None:
    def broken() -> Iterator[tuple[int, int, np.ndarray]]:
        yield noise_key(1, "w", 64), 0, abandoned
        raise RuntimeError("no further piece")

    abandoned = np.zeros(64, np.float32)
    with pytest.raises(RuntimeError):
        fill_standard_normal(broken())
    assert within_one_ulp(standard_normal(3, "w", 0, 20), [by_definition(3, "w", i) for i in range(20)])
    assert not abandoned.any()


def test_tied_noise_depends_on_size_alone() -> None:
    one = standard_normal(5, "layers.0.q_proj.weight", 0, 64, "tied")
    same_size = standard_normal(5, "layers.7.o_proj.weight", 0, 64, "tied")
    other_size = standard_normal(5, "layers.0.q_proj.weight", 0, 64, "tied", numel=65)
    assert np.array_equal(one, same_size)
    assert not np.array_equal(one, other_size)
    assert within_one_ulp(one, [by_definition(5, "numel=64", i) for i in range(64)])


def test_iid_noise_differs_between_names_and_seeds() -> None:
    draws = [standard_normal(seed, name, 0, 1000) for seed in (42, 43) for name in ("a", "b")]
    correlations = np.corrcoef(np.stack(draws).astype(np.float64)) - np.eye(4)
    assert np.abs(correlations).max() < 0.15  # 1000 values: sd 0.032, so a false alarm is one in 10^5


def test_moments_are_those_of_a_standard_normal() -> None:
    noise = standard_normal(1, "x", 0, 1_000_000).astype(np.float64)
    assert abs(noise.mean()) < 0.005
    assert abs(noise.std() - 1) < 0.005
    assert abs((noise**4).mean() - 3) < 0.05
    assert np.isfinite(noise).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((-1, "x", 0, 1), "seed"),
        ((2**64, "x", 0, 1), "seed"),
        ((1, "x", -1, 1), "start"),
        ((1, "x", 0, -1), "count"),
        ((1, "x", 0, 1, "gaussian"), "scheme"),
    ],
)
def test_nonsense_is_refused(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        standard_normal(*arguments)


def test_a_slice_past_the_tensor_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        standard_normal(1, "x", 5, 6, "tied", numel=10)


def test_the_key_is_the_hash_of_seed_and_name() -> None:
    digest = hashlib.sha256(b"esprobe/1\0" + (57).to_bytes(8, "little") + b"\0" + b"lm_head.weight").digest()
    assert noise_key(57, "lm_head.weight", 10) == int.from_bytes(digest[:16], "little")
