"""Variance components against brute force, intervals on ordinary and degenerate data, and their coverage."""

import math
from fractions import Fraction

import numpy as np
import pytest

from esprobe import pass_at_k
from esprobe.spec import Kind
from esprobe.stats.intervals import (
    Interval,
    VarianceParts,
    extreme_bound,
    interval,
    intervals,
    leave_one_seed_out,
    variance_parts,
)
from esprobe.stats.outcomes import Outcomes


def full(correct) -> Outcomes:
    correct = np.asarray(correct, dtype=bool)
    return Outcomes(correct, np.ones_like(correct))


def random_outcomes(seed: int, problems: int, seeds: int, missing: float = 0.0) -> Outcomes:
    rng = np.random.default_rng(seed)
    logits = rng.normal(-0.5, 1.5, (problems, 1)) + rng.normal(0, 1, (1, seeds))
    stored = rng.random((problems, seeds)) >= missing
    stored[:, :3] = True
    return Outcomes((rng.random((problems, seeds)) < 1 / (1 + np.exp(-logits))) & stored, stored)


def mean_pass_at_k(rows: list[list[bool]], k: int) -> float:
    return sum(pass_at_k(len(row), sum(row), k) for row in rows) / len(rows)


def rows_without(outcomes: Outcomes, left_out: int | None) -> list[list[bool]]:
    """Each problem's stored verdicts, one seed left out everywhere; plain lists, nothing shared with the code."""
    return [
        [bool(outcomes.correct[i, s]) for s in np.flatnonzero(outcomes.stored[i]) if s != left_out]
        for i in range(outcomes.problems)
    ]


def jackknife(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return (len(values) - 1) / len(values) * sum((v - mean) ** 2 for v in values)


def brute_force(outcomes: Outcomes, k: int) -> tuple[float, float, float]:
    """V_P, V_S, V_PS by recomputing the estimate without each seed, and each problem without each rollout."""
    rows = rows_without(outcomes, None)
    values = [pass_at_k(len(row), sum(row), k) for row in rows]
    mean = sum(values) / len(values)
    v_p = sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)
    seeds = outcomes.stored.shape[1]
    v_s = jackknife([mean_pass_at_k(rows_without(outcomes, s), k) for s in range(seeds)])
    v_ps = 0.0
    for row in rows:
        v_ps += jackknife([mean_pass_at_k([row[:j] + row[j + 1 :]], k) for j in range(len(row))])
    return v_p, v_s, v_ps / len(rows) ** 2


class TestVarianceParts:
    @pytest.mark.parametrize("missing", [0.0, 0.3], ids=["full", "masked"])
    @pytest.mark.parametrize("seed", range(4))
    def test_equals_brute_force(self, seed, missing):
        outcomes = random_outcomes(seed, problems=7, seeds=9, missing=missing)
        ks = range(1, outcomes.n_min)
        parts = variance_parts(outcomes, ks)
        for j, k in enumerate(ks):
            found = parts.by_problem[j], parts.by_seed[j], parts.by_rollout[j]
            assert found == pytest.approx(brute_force(outcomes, k), rel=1e-9, abs=1e-15)

    def test_a_full_mask_gives_the_published_formula(self):
        """STATISTICS 4.2, term by term."""
        outcomes = random_outcomes(11, problems=12, seeds=10)
        x, (p, s), k = outcomes.correct, outcomes.correct.shape, 4
        c = x.sum(axis=1)
        a = np.array([pass_at_k(s - 1, max(ci - 1, 0), k) for ci in c])
        b = np.array([pass_at_k(s - 1, min(ci, s - 1), k) for ci in c])
        theta = np.where(x, a[:, None], b[:, None]).mean(axis=0)
        v_s = (s - 1) / s * ((theta - theta.mean()) ** 2).sum()
        m = (c * a + (s - c) * b) / s
        v_ps = (s - 1) / s * (c * (a - m) ** 2 + (s - c) * (b - m) ** 2).sum() / p**2
        v_p = np.var([pass_at_k(s, ci, k) for ci in c], ddof=1) / p
        parts = variance_parts(outcomes, [k])
        assert parts.by_seed[0] == pytest.approx(v_s, rel=1e-12)
        assert parts.by_rollout[0] == pytest.approx(v_ps, rel=1e-12)
        assert parts.total(Kind.PERTURBATION)[0] == pytest.approx(max(v_p + v_s - v_ps, v_p), rel=1e-12)

    def test_at_k_1_the_jackknife_is_the_variance_of_a_mean(self):
        outcomes = random_outcomes(2, problems=6, seeds=8)
        x = outcomes.correct.astype(float)
        parts = variance_parts(outcomes, [1])
        assert parts.by_seed[0] == pytest.approx(x.mean(axis=0).var(ddof=1) / 8)
        assert parts.by_rollout[0] == pytest.approx((x.var(axis=1, ddof=1) / 8).sum() / 36)

    def test_at_k_n_it_stands_in_with_k_minus_one(self):
        outcomes = random_outcomes(3, problems=6, seeds=8)
        parts = variance_parts(outcomes, [7, 8])
        assert parts.by_seed[0] == parts.by_seed[1] > 0
        assert parts.by_rollout[0] == parts.by_rollout[1] > 0
        assert parts.by_problem[1] == pytest.approx(outcomes.correct.any(axis=1).var(ddof=1) / 6)

    def test_blocks_of_seeds_join(self):
        """More seeds than one block holds, against each seed alone."""
        outcomes = random_outcomes(4, problems=5, seeds=600, missing=0.2)
        whole = mean_pass_at_k(rows_without(outcomes, None), 50)
        shifts = leave_one_seed_out(outcomes, [50])
        for s in (0, 255, 256, 511, 512, 599):
            expected = mean_pass_at_k(rows_without(outcomes, s), 50) - whole
            assert shifts[s, 0] == pytest.approx(expected, abs=1e-13)
        assert shifts.sum() == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("missing", [0.0, 0.3], ids=["full", "masked"])
    def test_order_of_problems_and_seeds_does_not_matter(self, missing):
        outcomes = random_outcomes(5, problems=9, seeds=12, missing=missing)
        rng = np.random.default_rng(0)
        rows, columns = rng.permutation(9), rng.permutation(12)
        shuffled = Outcomes(outcomes.correct[rows][:, columns], outcomes.stored[rows][:, columns])
        ks = [1, outcomes.n_min]
        one, other = variance_parts(outcomes, ks), variance_parts(shuffled, ks)
        np.testing.assert_allclose(one.total(Kind.PERTURBATION), other.total(Kind.PERTURBATION), rtol=1e-12)
        np.testing.assert_allclose(one.by_rollout, other.by_rollout, rtol=1e-12)

    def test_seeds_that_nobody_has_change_nothing(self):
        outcomes = random_outcomes(6, problems=5, seeds=7)
        wide = Outcomes(np.pad(outcomes.correct, ((0, 0), (2, 3))), np.pad(outcomes.stored, ((0, 0), (2, 3))))
        np.testing.assert_array_equal(variance_parts(wide, [2]).by_seed, variance_parts(outcomes, [2]).by_seed)

    def test_never_below_the_spread_between_problems(self):
        parts = VarianceParts(np.array([4.0]), np.array([1.0]), np.array([3.0]))
        assert parts.total(Kind.PERTURBATION) == 4.0
        assert parts.total(Kind.TEMPERATURE) == 4.0
        assert parts.total(Kind.PERTURBATION, "these problems") == 1.0
        assert parts.total(Kind.TEMPERATURE, "these problems") == 3.0

    def test_refuses_k_beyond_the_smallest_n(self):
        with pytest.raises(ValueError, match="fewest rollouts"):
            variance_parts(full([[1, 0], [0, 0]]), [3])


class TestOutcomes:
    def test_counts(self):
        outcomes = Outcomes(np.array([[True, False, False]]), np.array([[True, True, False]]))
        assert (outcomes.problems, outcomes.n.tolist(), outcomes.c.tolist(), outcomes.n_min) == (1, [2], [1], 2)

    def test_nothing_stored_yet(self):
        assert full(np.zeros((0, 0))).n_min == 0

    @pytest.mark.parametrize(
        ("correct", "stored", "complaint"),
        [
            ([[True]], [[False]], "at least one"),
            ([[False, True]], [[True, False]], "cannot be correct"),
            ([[True]], [[True, True]], "but stored is"),
            ([True], [True], "boolean matrix"),
            ([[1]], [[True]], "boolean matrix"),
        ],
    )
    def test_refuses_what_cannot_be(self, correct, stored, complaint):
        with pytest.raises(ValueError, match=complaint):
            Outcomes(np.array(correct), np.array(stored))


class TestInterval:
    def test_by_hand(self):
        """f = (0.2, 0.4): mean 0.3, variance of the mean 0.01; -ln 0.7 = 0.35667; slope 1/(0.7 x 0.35667).

        Student's t for 15 degrees of freedom is 2.13145.
        """
        found = interval(np.array([0.2, 0.4]), 0.01, clusters=16)
        half = 2.131449545559323 * 0.1 / (0.7 * 0.35667494393873245)
        assert found.low == pytest.approx(1 - 0.7 ** math.exp(-half), rel=1e-12)
        assert found.high == pytest.approx(1 - 0.7 ** math.exp(half), rel=1e-12)
        assert found.low < 0.3 < found.high and found.note is None

    def test_clopper_pearson_by_hand(self):
        """With 0 of 20 solved the upper end solves (1 - p)^20 = 0.025."""
        assert (1 - extreme_bound(20, 0.05)) ** 20 == pytest.approx(0.025)
        assert extreme_bound(20, 0.05) == pytest.approx(0.1684, abs=1e-4)

    def test_a_wider_level_contains_a_narrower(self):
        outcomes = random_outcomes(7, problems=10, seeds=8)
        (inner,), (outer,) = (intervals(outcomes, [4], Kind.PERTURBATION, level=level) for level in (0.8, 0.99))
        assert outer.low < inner.low < inner.high < outer.high

    @pytest.mark.parametrize("level", [0, 1, 95])
    def test_refuses_an_impossible_level(self, level):
        with pytest.raises(ValueError, match="between 0 and 1"):
            intervals(full([[1, 0], [0, 0]]), [1], Kind.TEMPERATURE, level=level)

    @pytest.mark.parametrize("kind", [Kind.GREEDY, Kind.TEMPERATURE, Kind.PERTURBATION])
    def test_stays_inside_and_around_the_estimate(self, kind):
        for seed in range(20):
            outcomes = random_outcomes(seed, problems=4, seeds=5, missing=0.2)
            ks = range(1, outcomes.n_min + 1)
            for k, found in zip(ks, intervals(outcomes, ks, kind), strict=True):
                if found.low is not None:
                    estimate = mean_pass_at_k(rows_without(outcomes, None), k)
                    assert 0 <= found.low <= estimate <= found.high <= 1

    def test_shared_perturbations_widen_it(self):
        rng = np.random.default_rng(8)
        outcomes = full(np.broadcast_to(rng.random(40) < 0.3, (50, 40)) & (rng.random((50, 40)) < 0.5))
        (alone,), (crossed,) = (intervals(outcomes, [4], kind) for kind in (Kind.TEMPERATURE, Kind.PERTURBATION))
        assert crossed.high - crossed.low > 2 * (alone.high - alone.low)

    def test_saturation_does_not_feign_certainty(self):
        """All problems solved by most rollouts: at k = 16 of 32 the spread is nil, yet an unseen kind may fail."""
        correct = np.ones((20, 32), dtype=bool)
        correct[:, :8] = False
        at_16, at_32 = intervals(full(correct ^ np.eye(20, 32, 10, dtype=bool)), [16, 32], Kind.TEMPERATURE)
        assert at_16.low == pytest.approx(at_32.low) == pytest.approx(0.025 ** (1 / 20))

    def test_rounding_does_not_make_a_spread(self):
        """0.1 + 0.1 + 0.1 is not 0.3 in floats; equal problems have no spread all the same."""
        correct = np.zeros((3, 10), dtype=bool)
        correct[:, 0] = True
        assert variance_parts(full(correct), [1]).by_problem[0] == 0.0
        assert intervals(full(correct), [1], Kind.TEMPERATURE) == [Interval(None, None, "no spread")]

    def test_the_same_answers_again_show_no_luck(self) -> None:
        """One problem is always solved and one never: they differ, and drawing them again tells nothing new."""
        correct = np.repeat([[True], [False]], 4, axis=1)
        (like_these,) = intervals(full(correct), [2], Kind.TEMPERATURE)
        assert like_these.low is not None
        assert intervals(full(correct), [2], Kind.TEMPERATURE, "these problems") == [Interval(None, None, "no luck")]


class TestDegenerate:
    @pytest.mark.parametrize(("kind", "clusters"), [(Kind.GREEDY, 6), (Kind.TEMPERATURE, 6), (Kind.PERTURBATION, 4)])
    def test_none_correct(self, kind, clusters):
        for found in intervals(full(np.zeros((6, 4))), [1, 4], kind):
            assert found == Interval(0.0, pytest.approx(1 - 0.025 ** (1 / clusters)), "none correct")

    @pytest.mark.parametrize(("kind", "clusters"), [(Kind.GREEDY, 6), (Kind.TEMPERATURE, 6), (Kind.PERTURBATION, 4)])
    def test_all_correct(self, kind, clusters):
        for found in intervals(full(np.ones((6, 4))), [1, 4], kind):
            assert found == Interval(pytest.approx(0.025 ** (1 / clusters)), 1.0, "all correct")

    @pytest.mark.parametrize("kind", [Kind.GREEDY, Kind.TEMPERATURE, Kind.PERTURBATION])
    @pytest.mark.parametrize("solved", [0, 1])
    def test_one_problem(self, kind, solved):
        assert intervals(full([[solved, 0, 1]]), [1, 3], kind) == [Interval(None, None, "one problem")] * 2

    def test_one_perturbation(self):
        assert intervals(full([[1], [0], [1]]), [1], Kind.PERTURBATION) == [Interval(None, None, "one perturbation")]
        assert intervals(full([[1], [0], [1]]), [1], Kind.GREEDY)[0].note is None

    def test_one_rollout_of_one_problem(self):
        assert intervals(full([[1]]), [1], Kind.GREEDY) == [Interval(None, None, "one problem")]

    def test_a_problem_with_one_of_many_perturbations(self):
        outcomes = Outcomes(np.array([[True, False], [False, False]]), np.array([[True, True], [True, False]]))
        assert intervals(outcomes, [1], Kind.PERTURBATION) == [Interval(None, None, "one perturbation")]

    def test_these_problems(self):
        zero = full(np.zeros((6, 4)))
        assert intervals(zero, [1], Kind.GREEDY, "these problems") == [Interval(None, None, "greedy is fixed")]
        (alone,) = intervals(zero, [2], Kind.TEMPERATURE, "these problems")
        assert alone.high == pytest.approx(1 - 0.025 ** (1 / 12))
        assert intervals(full([[1], [0]]), [1], Kind.TEMPERATURE, "these problems")[0].note == "one rollout"
        (one,) = intervals(full([[1, 0, 0, 1]]), [1], Kind.TEMPERATURE, "these problems")
        assert one.low is not None and one.note is None


def logistic(x):
    return 1 / (1 + np.exp(-x))


def true_pass_at_k(mean: float, problem_sd: float, seed_sd: float, ks) -> list[float]:
    """Over new problems and new perturbations, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    chance = logistic(mean + problem_sd * nodes[:, None] + seed_sd * nodes) @ weights
    return [float(weights @ (1 - (1 - chance) ** k)) for k in ks]


def simulate(reps: int, problems: int, seeds: int, ks, seed: int) -> dict[str, np.ndarray]:
    """Share of intervals that cover, per k, where a crossed logistic random-effects model made the outcomes."""
    rng = np.random.default_rng(seed)
    truth = np.array(true_pass_at_k(-3, 2, 1.0, ks))
    covered = {Kind.TEMPERATURE: np.zeros(len(ks)), Kind.PERTURBATION: np.zeros(len(ks))}
    for _ in range(reps):
        logits = rng.normal(-3, 2, (problems, 1)) + rng.normal(0, 1.0, (1, seeds))
        outcomes = full(rng.random((problems, seeds)) < logistic(logits))
        for kind, hits in covered.items():
            found = intervals(outcomes, ks, kind)
            hits += [i.low <= t <= i.high for i, t in zip(found, truth, strict=True)]
    return {kind: hits / reps for kind, hits in covered.items()}


def test_truth_by_quadrature_agrees_with_the_published_table():
    assert true_pass_at_k(-3, 2, 1.0, [16, 120]) == pytest.approx([0.614, 0.890], abs=0.003)


def test_intervals_cover_what_they_claim_where_perturbations_are_shared():
    """Crossed outcomes, 500 runs of 600 x 64: two-way covers, the spread between problems alone does not.

    The standard error of a coverage of 0.95 is 0.010; the seed is fixed, so that the test cannot flicker.
    """
    covered = simulate(reps=500, problems=600, seeds=64, ks=[1, 8, 64], seed=20)
    assert ((covered[Kind.PERTURBATION] > 0.91) & (covered[Kind.PERTURBATION] < 0.97)).all(), covered
    assert (covered[Kind.TEMPERATURE][:2] < 0.85).all(), covered


def test_sharing_perturbations_does_not_bias_the_estimate():
    """Two problems that share one coin per perturbation: the mean over all coin outcomes is 1 - (1-p)^k exactly."""
    n, k, p = 5, 3, Fraction(1, 3)
    mean = Fraction(0)
    for outcome in range(2**n):
        coins = [bool(outcome >> s & 1) for s in range(n)]
        weight = p ** sum(coins) * (1 - p) ** (n - sum(coins))
        mean += weight * Fraction(mean_pass_at_k([coins, coins], k)).limit_denominator(1000)
    assert mean == 1 - (1 - p) ** k
