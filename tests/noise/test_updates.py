"""ES v1's update and trained weights: golden values, and the definition written out once more, number by number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esprobe.noise import standard_normal
from esprobe.noise.updates import add_update, by_noise, evolved

NAME = "model.embed_tokens.weight"
UPDATES = (((57, 57, 58), (0.001, -0.0003, 2e-05)), ((59, 58), (-0.002, 0.0007)))
"""An antithetic pair and another member, then two others; docs/noise.md shows what comes of them."""

GOLDEN = ("39E52813 393E9A04 BA480BFF 39CB845D B8A6C899", "3B85B0D0 BA72C762 3A8E69CC BA8EB7F6 3AAA0912")
EVOLVED = "3CC5433E BA72C762 3F80239A C04011D7 3AB72483"


def f32(value: float) -> float:
    """A float64 rounded to float32. Of a product or a sum of two float32s this is the one correct rounding."""
    return float(np.float32(value))


def by_definition(start: int, count: int, updates: list[tuple[list[int], list[float]]], name: str) -> list[float]:
    found = [0.0] * count
    for seeds, coefficients in updates:
        for seed, coefficient in zip(seeds, coefficients, strict=True):
            noise = standard_normal(seed, name, start, count)
            found = [f32(d + f32(f32(coefficient) * float(n))) for d, n in zip(found, noise, strict=True)]
    return found


def bits(values: np.ndarray) -> list[str]:
    return [f"{value:08X}" for value in values.view(np.uint32)]


def test_golden_values() -> None:
    accumulator = np.zeros(5, np.float32)
    for update, expected in zip(UPDATES, GOLDEN, strict=True):
        add_update(accumulator, *update, NAME, 1000)
        assert bits(accumulator) == expected.split()
    base = np.array([0.02, -0.0, 1.0, -3.0, 1e-4], np.float32)
    assert bits(evolved(base, accumulator)) == EVOLVED.split()


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(0, 2**40),
    count=st.integers(0, 20),
    updates=st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.floats(-2.0, 2.0, width=32)), max_size=6).map(
            lambda terms: ([seed for seed, _ in terms], [c for _, c in terms])
        ),
        max_size=4,
    ),
)
def test_equals_its_definition(start: int, count: int, updates: list[tuple[list[int], list[float]]]) -> None:
    accumulator = np.zeros(count, np.float32)
    for seeds, coefficients in updates:
        add_update(accumulator, seeds, coefficients, "w", start)
    expected = np.array(by_definition(start, count, updates, "w"), np.float32)
    assert bits(accumulator) == bits(expected)
    assert not (np.signbit(accumulator) & (accumulator == 0)).any()  # what starts as 0.0 never becomes -0.0


def test_a_slice_is_the_slice_of_the_whole() -> None:
    whole, part = np.zeros(300, np.float32), np.zeros(100, np.float32)
    add_update(whole, *UPDATES[0], "w", scheme="tied")
    add_update(part, *UPDATES[0], "w", 150, "tied", numel=300)
    assert bits(part) == bits(whole[150:250])


def test_members_of_one_seed_share_its_noise_only_where_they_are_neighbours() -> None:
    assert list(by_noise((1, 1, 2, 1), (0.5, -0.5, 1.0, 2.0))) == [(1, [0.5, -0.5]), (2, [1.0]), (1, [2.0])]
    assert list(by_noise((), ())) == []


def test_a_coefficient_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        add_update(np.zeros(3, np.float32), (1, 2), (0.5,), "w")
