"""Paired differences against brute force and by hand, at the ends of the scale, and where data say nothing."""

import numpy as np
import pytest

from esprobe import pass_at_k
from esprobe.spec import Kind
from esprobe.stats.difference import paired_difference
from esprobe.stats.mcnemar import mcnemar, sign_flip
from esprobe.stats.multiplicity import holm, simultaneous_critical
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.side import (
    known_side,
    rollout_covariance,
    sampled_side,
    seed_covariance,
    shared_rollout_covariance,
    shared_seed_covariance,
)
from esprobe.stats.student import t_quantile, two_sided


def outcomes(seed, problems, seeds, missing=0.0, mean=-0.5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(mean, 1.5, (problems, 1)) + rng.normal(0, 1, (1, seeds))
    stored = rng.random((problems, seeds)) >= missing
    stored[:, :4] = True
    return Outcomes((rng.random((problems, seeds)) < 1 / (1 + np.exp(-logits))) & stored, stored)


def full(correct):
    correct = np.asarray(correct, dtype=bool)
    return Outcomes(correct, np.ones_like(correct))


def side(given, kind, ks):
    return sampled_side(given, np.arange(given.stored.shape[1]), kind, ks)


def mean_without(given, k, left_out):
    rows = [
        [bool(given.correct[i, s]) for s in np.flatnonzero(given.stored[i]) if s != left_out]
        for i in range(given.problems)
    ]
    return np.mean([pass_at_k(len(row), sum(row), k) for row in rows])


class TestSharedSeeds:
    def test_the_variance_of_seeds_is_the_jackknife_of_the_difference_itself(self):
        a, b, k = outcomes(1, 9, 12), outcomes(2, 9, 12), 3
        shifts = [mean_without(b, k, s) - mean_without(a, k, s) for s in range(12)]
        expected = 11 / 12 * ((shifts - np.mean(shifts)) ** 2).sum()
        found = shared_seed_covariance(side(a, Kind.PERTURBATION, (k,)), side(b, Kind.PERTURBATION, (k,)))
        assert found[0, 0] == pytest.approx(expected, rel=1e-9)

    def test_the_variance_within_problems_is_the_jackknife_of_each_problem(self):
        a, b, k = outcomes(3, 5, 10), outcomes(4, 5, 10), 2
        expected = 0.0
        for i in range(5):
            one, other = full(a.correct[i : i + 1]), full(b.correct[i : i + 1])
            shifts = np.array([mean_without(other, k, s) - mean_without(one, k, s) for s in range(10)])
            expected += 9 / 10 * ((shifts - shifts.mean()) ** 2).sum() / 25
        found = shared_rollout_covariance(side(a, Kind.PERTURBATION, (k,)), side(b, Kind.PERTURBATION, (k,)))
        assert found[0, 0] == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("missing", [0.0, 0.3])
    def test_a_condition_against_itself_does_not_differ(self, missing):
        a = side(outcomes(5, 8, 12, missing), Kind.PERTURBATION, (1, 2, 4))
        np.testing.assert_allclose(shared_seed_covariance(a, a), 0, atol=1e-15)
        np.testing.assert_allclose(shared_rollout_covariance(a, a), 0, atol=1e-15)

    def test_seeds_that_only_one_side_has_count_for_that_side(self):
        a, b = outcomes(6, 8, 6), outcomes(7, 8, 6)
        apart = sampled_side(b, np.arange(100, 106), Kind.PERTURBATION, (2,))
        one = side(a, Kind.PERTURBATION, (2,))
        total = seed_covariance(one) + seed_covariance(apart)
        assert shared_seed_covariance(one, apart) == pytest.approx(total, rel=0.2)
        assert shared_rollout_covariance(one, apart) == pytest.approx(
            rollout_covariance(one) + rollout_covariance(apart)
        )


class TestInterval:
    def test_far_from_the_ends_it_is_the_students_t_interval_of_paired_values(self):
        a, b = outcomes(8, 400, 40, mean=0), outcomes(9, 400, 40, mean=0.5)
        d = b.correct.mean(axis=1) - a.correct.mean(axis=1)
        half = t_quantile(0.975, 399) * d.std(ddof=1) / 20
        (point,) = paired_difference(side(a, Kind.TEMPERATURE, (1,)), side(b, Kind.TEMPERATURE, (1,))).points
        assert point.estimate == pytest.approx(d.mean())
        assert (point.ci_low, point.ci_high) == pytest.approx((d.mean() - half, d.mean() + half), abs=0.002)

    @pytest.mark.parametrize("kinds", [(Kind.GREEDY, Kind.PERTURBATION), (Kind.TEMPERATURE, Kind.PERTURBATION)])
    def test_stays_inside_and_around_the_estimate_and_within_its_band(self, kinds):
        for seed in range(10):
            a = side(outcomes(seed, 6, 1 if kinds[0] == Kind.GREEDY else 8), kinds[0], (1, 2, 4))
            b = side(outcomes(seed + 50, 6, 8), kinds[1], (1, 2, 4))
            for p in paired_difference(a, b).points:
                assert -1 <= p.band_low <= p.ci_low <= p.estimate <= p.ci_high <= p.band_high <= 1

    def test_p_is_below_5_per_cent_exactly_where_the_interval_leaves_0(self):
        for seed in range(30):
            a = side(outcomes(seed, 30, 8), Kind.TEMPERATURE, (1, 4))
            b = side(outcomes(seed + 99, 30, 8, mean=0.2), Kind.PERTURBATION, (1, 4))
            for p in paired_difference(a, b).points:
                assert (p.p < 0.05) == (not p.ci_low <= 0 <= p.ci_high)

    def test_reversed_sides_reverse_the_interval(self):
        a, b = side(outcomes(1, 20, 8), Kind.TEMPERATURE, (4,)), side(outcomes(2, 20, 8), Kind.PERTURBATION, (4,))
        (one,), (other,) = paired_difference(a, b).points, paired_difference(b, a).points
        assert (one.ci_low, one.ci_high, one.p) == pytest.approx((-other.ci_high, -other.ci_low, other.p))

    def test_these_problems_are_never_less_certain_than_problems_like_these(self):
        a, b = (
            side(outcomes(1, 40, 16), Kind.TEMPERATURE, (1, 8, 16)),
            side(outcomes(2, 40, 16), Kind.PERTURBATION, (1, 8, 16)),
        )
        like, these = paired_difference(a, b), paired_difference(a, b, "these problems")
        for wide, narrow in zip(like.points, these.points, strict=True):
            assert narrow.ci_high - narrow.ci_low <= wide.ci_high - wide.ci_low + 1e-12

    def test_against_a_null_only_the_condition_varies(self):
        given = outcomes(3, 50, 16)
        chances = np.random.default_rng(0).random(50) / 10
        (point,) = paired_difference(known_side(chances, (4,)), side(given, Kind.TEMPERATURE, (4,))).points
        assert point.a == pytest.approx((1 - (1 - chances) ** 4).mean())
        assert point.ci_low < point.estimate < point.ci_high

    def test_a_greedy_answer_is_the_same_however_often_it_is_given(self):
        one = sampled_side(full([[1], [0], [1], [0]]), np.array([0]), Kind.GREEDY, (1, 64))
        assert one.values.tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]


class TestEnds:
    def test_nothing_solved_on_either_side(self):
        a, b = (side(full(np.zeros((20, 8))), Kind.TEMPERATURE, (1, 8)) for _ in range(2))
        for p in paired_difference(a, b).points:
            bound = 1 - 0.025 ** (1 / 20)
            assert (p.estimate, p.ci_low, p.ci_high) == pytest.approx((0, -bound, bound))
            assert p.p > 0.9

    def test_nothing_against_everything(self):
        (p,) = paired_difference(
            side(full(np.zeros((20, 8))), Kind.TEMPERATURE, (4,)), side(full(np.ones((20, 8))), Kind.PERTURBATION, (4,))
        ).points
        assert p.estimate == 1 == p.ci_high and 0.3 < p.ci_low < 1 and p.p < 0.001

    @pytest.mark.parametrize(
        ("a", "b", "kinds", "target", "note"),
        [
            ([[1, 0, 0]], [[1, 1, 0]], (Kind.TEMPERATURE, Kind.TEMPERATURE), "problems like these", "one problem"),
            ([[1], [0]], [[1], [1]], (Kind.GREEDY, Kind.PERTURBATION), "problems like these", "one perturbation"),
            ([[1], [0]], [[1], [1]], (Kind.GREEDY, Kind.TEMPERATURE), "these problems", "one rollout"),
            ([[1], [0]], [[1], [1]], (Kind.GREEDY, Kind.GREEDY), "these problems", "both fixed"),
            (
                [[1, 0], [1, 0]],
                [[1, 0], [0, 1]],
                (Kind.TEMPERATURE, Kind.TEMPERATURE),
                "problems like these",
                "no spread",
            ),
            ([[1, 0], [1, 0]], [[1, 0], [0, 1]], (Kind.TEMPERATURE, Kind.TEMPERATURE), "these problems", "no spread"),
            ([[0], [0]], [[1, 1], [0, 0]], (Kind.GREEDY, Kind.TEMPERATURE), "these problems", "no luck"),
        ],
    )
    def test_what_cannot_be_told_has_a_reason(self, a, b, kinds, target, note):
        sides = [side(full(x), kind, (1,)) for x, kind in zip((a, b), kinds, strict=True)]
        (p,) = paired_difference(*sides, target).points
        assert (p.ci_low, p.band_low, p.p, p.note) == (None, None, None, note)

    def test_sides_that_do_not_match_are_refused(self):
        with pytest.raises(ValueError, match="same problems"):
            paired_difference(
                side(outcomes(1, 5, 4), Kind.TEMPERATURE, (1,)), side(outcomes(1, 6, 4), Kind.TEMPERATURE, (1,))
            )


class TestTests:
    def test_mcnemar_by_hand(self):
        assert mcnemar(16, 5) == pytest.approx(0.0266, abs=1e-4)  # the first attempt at the study
        assert mcnemar(0, 5) == 2 / 32
        assert mcnemar(3, 3) == 1 == mcnemar(0, 0)
        assert 0 < mcnemar(400, 900) < 1e-40

    def test_sign_flips_of_few_problems_are_every_one_of_them(self):
        """With 6 equal differences only 2 of 64 sign patterns reach the sum: p = 1/32."""
        assert sign_flip(np.full((6, 1), 0.1))[0] == pytest.approx(1 / 32, abs=0.01)
        assert sign_flip(np.array([[1.0], [-1.0]] * 20))[0] == 1

    def test_holm_by_hand(self):
        assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06], nan_ok=True)
        assert holm([0.9, 0.8]) == [1, 1]
        assert holm([]) == []

    def test_a_band_over_independent_estimates_is_sidaks(self):
        """For 5 independent ones: 1 - (1 - p)^5 = 0.05, z = 2.569."""
        assert simultaneous_critical(np.eye(5), 10**6, 0.95) == pytest.approx(2.569, abs=0.03)
        assert simultaneous_critical(np.ones((5, 5)), 10**6, 0.95) == pytest.approx(1.96, abs=0.03)
        assert simultaneous_critical(np.eye(1), 10, 0.95) == pytest.approx(t_quantile(0.975, 10), abs=0.05)

    def test_two_sided_is_the_inverse_of_the_quantile(self):
        for df in (1, 2, 7, 30, 1999):
            assert two_sided(t_quantile(0.975, df), df) == pytest.approx(0.05, rel=1e-9)
