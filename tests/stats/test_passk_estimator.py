"""The estimator against hand-computed values, exact rational arithmetic and simulation."""

import math
import os
import subprocess
import sys
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esprobe import pass_at_k, pass_at_k_curve
from esprobe.stats.passk import pass_at_k_table


def by_product(n: int, c: int, k: int) -> Fraction:
    """The chance to miss with every one of k draws, one factor per draw: another route than binomials."""
    missed = Fraction(1)
    for draw in range(k):
        missed *= Fraction(max(n - c - draw, 0), n - draw)
    return 1 - missed


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 300))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


class TestOneProblem:
    def test_by_hand(self):
        assert pass_at_k(4, 2, 2) == 5 / 6
        assert pass_at_k(10, 3, 1) == 0.3
        assert pass_at_k(5, 1, 5) == 1.0
        assert pass_at_k(1, 0, 1) == 0.0

    def test_by_counting_subsets(self):
        n, c = 7, 3
        for k in range(1, n + 1):
            subsets = list(combinations([True] * c + [False] * (n - c), k))
            assert pass_at_k(n, c, k) == float(Fraction(sum(map(any, subsets)), len(subsets)))

    def test_every_case_up_to_sixty_is_rounded_correctly(self):
        for n in range(1, 61):
            for c in range(n + 1):
                missed = total = 1
                for k in range(1, n + 1):
                    missed *= max(n - c - k + 1, 0)
                    total *= n - k + 1
                    assert pass_at_k(n, c, k) == (total - missed) / total, (n, c, k)

    def test_the_naive_estimator_is_not_used(self):
        """1 - (1 - c/n)^k would say 0.632 of a problem that 1,024 draws out of 1,024 are sure to solve."""
        naive = 1 - (1 - 1 / 1024) ** 1024
        assert naive == pytest.approx(0.632, abs=1e-3)
        assert pass_at_k(1024, 1, 1024) == 1.0
        assert pass_at_k(1024, 1, 512) == 0.5

    def test_unbiased(self):
        """The mean over c ~ Binomial(n, p) is 1 - (1-p)^k, in exact arithmetic."""
        n, p = 12, Fraction(2, 7)
        for k in range(1, n + 1):
            mean = sum(
                (math.comb(n, c) * p**c * (1 - p) ** (n - c) * by_product(n, c, k) for c in range(n + 1)), Fraction(0)
            )
            assert mean == 1 - (1 - p) ** k

    def test_simulated_draws_agree(self):
        """20,000 draws: four standard errors are 0.014, so a false alarm is a matter of 1 in 16,000 reseeds."""
        rng = np.random.default_rng(5)
        rollouts = np.arange(30) < 4
        hits = [rng.choice(rollouts, size=6, replace=False).any() for _ in range(20_000)]
        assert np.mean(hits) == pytest.approx(pass_at_k(30, 4, 6), abs=0.014)

    def test_huge_numbers_neither_overflow_nor_lose_digits(self):
        assert pass_at_k(10_000, 1, 5_000) == 0.5
        assert pass_at_k(100_000, 3, 1) == 3e-5

    @settings(deadline=None)
    @given(counts())
    def test_stays_within_bounds(self, case):
        n, c, k = case
        value = pass_at_k(n, c, k)
        assert 0 <= value <= 1
        assert (value == 0) == (c == 0)
        if c > n - k:
            assert value == 1
        assert value >= c / n if k > 1 else value == c / n

    @settings(deadline=None)
    @given(counts())
    def test_grows_with_k_and_with_c(self, case):
        n, c, k = case
        if k < n:
            assert pass_at_k(n, c, k + 1) >= pass_at_k(n, c, k)
        if c < n:
            assert pass_at_k(n, c + 1, k) >= pass_at_k(n, c, k)

    @pytest.mark.parametrize(
        ("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5), (0, 0, 1), (0, 0, 0), (-1, 0, 1), (2, 0, 5)]
    )
    def test_refuses_what_cannot_be(self, n, c, k):
        with pytest.raises(ValueError, match="must lie in"):
            pass_at_k(n, c, k)

    @pytest.mark.parametrize(
        ("n", "c", "k"), [(4.0, 2, 2), (4, True, 2), (4, 2, np.bool_(True)), (4, 2, 1.5), ("4", 2, 2), (4, None, 2)]
    )
    def test_refuses_what_is_no_whole_number(self, n, c, k):
        with pytest.raises(TypeError, match="whole number"):
            pass_at_k(n, c, k)

    def test_takes_numpy_integers(self):
        assert pass_at_k(np.int64(4), np.int32(2), np.uint8(2)) == 5 / 6


class TestTable:
    KS = (1, 2, 3, 4, 5, 8, 16, 32, 37, 64, 100, 128, 255, 256, 511, 512, 513, 777, 1000, 1023, 1024)

    def test_agrees_with_exact_at_full_size(self):
        table = pass_at_k_table(1024, self.KS)
        exact = [[pass_at_k(1024, c, k) for c in range(1025)] for k in self.KS]
        assert table.shape == (len(self.KS), 1025)
        np.testing.assert_array_equal(table, exact)

    @pytest.mark.parametrize("n", [4096, 4097, 10_000])
    def test_agrees_with_exact_where_integers_end(self, n):
        counts = [0, 1, 2, 5, n // 7, n // 2, n - 1, n]
        for k in (1, 2, 64, n // 2, n):
            values = pass_at_k_table(n, [k])[0, counts]
            exact = [pass_at_k(n, c, k) for c in counts]
            np.testing.assert_allclose(values, exact, rtol=0 if n <= 4096 else 1e-12, atol=0)

    def test_ends_are_exact(self):
        table = pass_at_k_table(1024, self.KS)
        for row, k in zip(table, self.KS, strict=True):
            assert row[0] == 0.0
            assert (row[1024 - k + 1 :] == 1.0).all()

    def test_every_small_case(self):
        for n in range(1, 61):
            table = pass_at_k_table(n, range(1, n + 1))
            exact = [[pass_at_k(n, c, k) for c in range(n + 1)] for k in range(1, n + 1)]
            np.testing.assert_array_equal(table, exact)

    @pytest.mark.parametrize("k", [0, -1, 9])
    def test_refuses_k_outside(self, k):
        with pytest.raises(ValueError, match=r"k must lie in 1\.\.8"):
            pass_at_k_table(8, [1, k])


class TestCurve:
    def test_agrees_with_exact_where_n_differs(self):
        rng = np.random.default_rng(1)
        n = rng.integers(40, 80, size=50)
        c = rng.integers(0, n + 1)
        ks = (40, 1, 2, 7)
        values = pass_at_k_curve(n, c, ks)
        exact = [[pass_at_k(a, b, k) for k in ks] for a, b in zip(n, c, strict=True)]
        assert values.shape == (50, 4) and values.dtype == np.float64
        np.testing.assert_array_equal(values, exact)

    def test_many_problems_of_one_n_beside_one_of_another(self):
        n = np.array([1024] * 200 + [700])
        c = np.concatenate([np.arange(0, 1000, 5), [13]])
        ks = (1, 2, 64, 512)
        exact = [[pass_at_k(a, b, k) for k in ks] for a, b in zip(n, c, strict=True)]
        np.testing.assert_array_equal(pass_at_k_curve(n, c, ks), exact)

    def test_one_n_for_all(self):
        np.testing.assert_array_equal(pass_at_k_curve(4, [0, 2, 4], [2]), [[0], [5 / 6], [1]])

    def test_no_k_is_no_column(self):
        assert pass_at_k_curve([3, 3], [1, 2], []).shape == (2, 0)

    def test_refuses_k_beyond_the_smallest_n(self):
        with pytest.raises(ValueError, match="fewest rollouts"):
            pass_at_k_curve([8, 4], [1, 1], [5])

    @pytest.mark.parametrize(("n", "c"), [([4], [5]), ([4], [-1]), ([], []), (4, 2), ([[4]], [[2]])])
    def test_refuses_counts_that_cannot_be(self, n, c):
        with pytest.raises(ValueError, match="must"):
            pass_at_k_curve(n, c, [1])

    @pytest.mark.parametrize(("n", "c"), [([4.0], [2]), ([4], [True]), ([4], [1.5])])
    def test_refuses_counts_that_are_no_whole_numbers(self, n, c):
        with pytest.raises(TypeError, match="whole numbers"):
            pass_at_k_curve(n, c, [1])


def test_tables_are_the_same_on_processors_without_avx512() -> None:
    """numpy's logarithm differs in the last bit between them; ratios of integers do not."""
    code = (
        "from esprobe.stats.passk import pass_at_k_table\n"
        "print([pass_at_k_table(n, range(1, n + 1)).tobytes().hex() for n in (1, 5, 32, 64)])\n"
        "print(pass_at_k_table(1024, [2**i for i in range(11)]).tobytes().hex())"
    )
    tables = set()
    for features in ("", "X86_V4 AVX512_ICL AVX512_SPR", "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"):
        environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": features}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        tables.add(done.stdout)
    assert len(tables) == 1
