"""ES in numbers, against straightforward computations and published definitions."""

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esprobe.es import Draw, coefficients, fitness, population, problems_of, shaped
from esprobe.seeds import h64
from esprobe.trajectory import Trajectory, Update, fingerprint_of

REWARDS = st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.1]), min_size=1, max_size=300)
FITNESSES = st.lists(st.floats(0, 2), min_size=2, max_size=60)


class TestPopulation:
    def test_golden(self) -> None:
        assert population(42, 0, 3, antithetic=False) == [
            Draw(447140416918750896, 1),
            Draw(4820635587602129248, 1),
            Draw(7042786672680959912, 1),
        ]

    def test_pairs_share_their_noise(self) -> None:
        paired = population(42, 7, 6, antithetic=True)
        assert [draw.sign for draw in paired] == [1, -1] * 3
        assert [draw.seed for draw in paired[::2]] == [draw.seed for draw in paired[1::2]]
        assert [draw.seed for draw in paired[::2]] == [h64("esprobe/es/1", 42, 7, pair) for pair in range(3)]

    def test_runs_and_iterations_share_no_noise(self) -> None:
        seeds = [d.seed for seed in (42, 43) for t in range(50) for d in population(seed, t, 30, antithetic=False)]
        assert len(set(seeds)) == len(seeds)
        assert all(0 <= seed < 2**63 for seed in seeds)


class TestProblems:
    def test_all_of_them(self) -> None:
        assert problems_of([5, 3, 9], 42, 17, 3) == [3, 5, 9]

    def test_blocks_cover_all_before_any_comes_again(self) -> None:
        blocks = [problems_of(range(100, 112), 42, t, 4) for t in range(6)]
        assert sorted(index for block in blocks[:3] for index in block) == list(range(100, 112))
        assert blocks[3:] == blocks[:3]
        assert blocks[0] != [100, 101, 102, 103]
        assert problems_of(range(100, 112), 43, 0, 4) != blocks[0]

    @given(st.integers(1, 40), st.integers(0, 500), st.data())
    def test_a_block_has_no_problem_twice(self, count: int, iteration: int, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, count))
        block = problems_of(range(count), 1, iteration, size)
        assert block == sorted(set(block)) and len(block) == size


class TestFitness:
    @given(REWARDS)
    def test_is_the_mean_to_the_last_bit(self, rewards: list[float]) -> None:
        exact = sum(map(Fraction, rewards)) / len(rewards)
        assert fitness(rewards) == pytest.approx(float(exact), rel=2**-52)
        assert fitness(rewards) == fitness(rewards[::-1])  # no order of summing


class TestShaping:
    @given(FITNESSES)
    def test_zscore(self, values: list[float]) -> None:
        sd = float(np.std(values))
        expected = [(value - float(np.mean(values))) / (sd + 1e-8) for value in values]
        assert shaped(values, "zscore") == pytest.approx(expected, rel=1e-6, abs=1e-6)

    @given(FITNESSES)
    def test_rank(self, values: list[float]) -> None:
        found = shaped(values, "rank")
        assert math.isclose(math.fsum(found), 0, abs_tol=1e-9)
        assert all(-0.5 <= one <= 0.5 for one in found)
        for i, one in enumerate(values):
            for j, other in enumerate(values):
                assert (one < other) == (found[i] < found[j])

    def test_rank_of_distinct_values(self) -> None:
        assert shaped([3.0, 1.0, 2.0], "rank") == [0.5, -0.5, 0.0]
        assert shaped([1.0, 1.0, 2.0], "rank") == [-0.25, -0.25, 0.5]

    def test_no_spread_is_no_update(self) -> None:
        draws = population(1, 0, 4, antithetic=False)
        assert coefficients(draws, [0.3] * 4, 0.5, "zscore") == [0.0] * 4
        assert coefficients(draws, [0.3] * 4, 0.5, "rank") == [0.0] * 4


class TestCoefficients:
    @given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
    def test_are_float32_with_the_sign_of_their_member(self, values: list[float]) -> None:
        draws = population(1, 0, 4, antithetic=True)
        for draw, found, value in zip(
            draws, coefficients(draws, values, 0.01, "rank"), shaped(values, "rank"), strict=True
        ):
            assert found == float(np.float32(0.01 / 4 * value)) * draw.sign


class TestTrajectory:
    MADE = Trajectory("r" * 64).extended(Update((1, 2), (0.5, -0.25))).extended(Update((3, 4), (0.0, 1.0)))

    def test_the_chain_of_digests(self) -> None:
        assert self.MADE.digests[0] == "r" * 64
        again = Trajectory("r" * 64, updates=self.MADE.updates)
        assert again.digests == self.MADE.digests and len(set(again.digests)) == 3
        assert self.MADE.upto(1).digest == self.MADE.digests[1]
        assert self.MADE.fingerprint == fingerprint_of(self.MADE.digest) != self.MADE.upto(1).fingerprint

    def test_a_last_bit_is_another_model(self) -> None:
        (bits,) = struct.unpack("<i", struct.pack("<f", -0.25))
        (beside,) = struct.unpack("<f", struct.pack("<i", bits + 1))
        other = Trajectory("r" * 64).extended(Update((1, 2), (0.5, beside)))
        assert other.digest != self.MADE.upto(1).digest

    def test_no_more_than_it_has(self) -> None:
        with pytest.raises(ValueError, match="0..2, got 3"):
            self.MADE.upto(3)
