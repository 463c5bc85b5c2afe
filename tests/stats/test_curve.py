"""Curves: which k, which refusals, and the null whose chances are known."""

import numpy as np
import pytest

from esprobe import pass_at_k
from esprobe.spec import Kind
from esprobe.stats.curve import Curve, default_ks, estimate_curve, expected_curve
from esprobe.stats.intervals import intervals
from esprobe.stats.outcomes import Outcomes


def outcomes_of(problems: int = 8, seeds: int = 6, missing: float = 0.0) -> Outcomes:
    rng = np.random.default_rng(3)
    stored = rng.random((problems, seeds)) >= missing
    stored[:, :2] = True
    return Outcomes((rng.random((problems, seeds)) < rng.random((problems, 1))) & stored, stored)


@pytest.mark.parametrize(
    ("n_min", "ks"),
    [(0, ()), (1, (1,)), (2, (1, 2)), (3, (1, 2)), (1000, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512))],
)
def test_default_ks(n_min, ks):
    assert default_ks(n_min) == ks


def test_default_ks_reach_n_where_it_is_a_power_of_two():
    assert default_ks(1024)[-1] == 1024


@pytest.mark.parametrize("kind", [Kind.TEMPERATURE, Kind.PERTURBATION])
def test_points(kind):
    outcomes = outcomes_of()
    curve = estimate_curve(outcomes, kind)
    assert [point.k for point in curve.points] == [1, 2, 4]
    assert curve.target == "problems like these" and curve.level == 0.95
    for point, found in zip(curve.points, intervals(outcomes, [1, 2, 4], kind), strict=True):
        exact = np.mean([pass_at_k(6, int(c), point.k) for c in outcomes.c])
        assert point.estimate == pytest.approx(exact, rel=1e-12)
        assert (point.ci_low, point.ci_high, point.note) == (found.low, found.high, found.note)
        assert point.problems == 8


def test_values_are_plain_numbers():
    """numpy floats would print as np.float64(...) and do not all serialise."""
    point = estimate_curve(outcomes_of(), Kind.PERTURBATION).points[0]
    assert {type(point.estimate), type(point.ci_low), type(point.ci_high)} == {float}
    assert type(point.problems) is int


def test_ks_are_sorted_and_distinct():
    curve = estimate_curve(outcomes_of(), Kind.TEMPERATURE, ks=[4, 1, 4, 6])
    assert [point.k for point in curve.points] == [1, 4, 6]


def test_problems_are_never_dropped_for_a_large_k():
    outcomes = outcomes_of(missing=0.5)
    assert outcomes.n_min < outcomes.n.max()
    assert estimate_curve(outcomes, Kind.TEMPERATURE).points[-1].problems == 8
    with pytest.raises(ValueError, match="fewest rollouts"):
        estimate_curve(outcomes, Kind.TEMPERATURE, ks=[int(outcomes.n.max())])


def test_nothing_stored_is_a_curve_without_points():
    nothing = Outcomes(np.zeros((0, 0), dtype=bool), np.zeros((0, 0), dtype=bool))
    assert estimate_curve(nothing, Kind.TEMPERATURE) == Curve(())


def test_estimates_grow_with_k():
    estimates = [point.estimate for point in estimate_curve(outcomes_of(20, 64), Kind.PERTURBATION).points]
    assert estimates == sorted(estimates)


def test_these_problems_are_known_better_than_problems_like_these():
    outcomes = outcomes_of(40, 64)
    like, these = (
        estimate_curve(outcomes, Kind.TEMPERATURE, [4], target).points[0]
        for target in ("problems like these", "these problems")
    )
    assert like.estimate == these.estimate
    assert these.ci_high - these.ci_low < like.ci_high - like.ci_low


class TestKnownChances:
    def test_by_hand(self):
        curve = expected_curve(np.array([0.5, 0.0]), [2, 1])
        assert [(point.k, point.estimate) for point in curve.points] == [(1, 0.25), (2, 0.375)]
        assert all(point.ci_low < point.estimate < point.ci_high for point in curve.points)

    def test_certain_and_impossible_problems(self):
        (point,) = expected_curve(np.array([1.0, 0.0, 1e-9]), [4096]).points
        assert point.estimate == pytest.approx((1 + 4096e-9) / 3)
        assert expected_curve(np.zeros(3), [8]).points[0].note == "none correct"
        assert expected_curve(np.ones(3), [8]).points[0].note == "all correct"

    def test_degenerate(self):
        assert expected_curve(np.array([0.5]), [1]).points[0].note == "one problem"
        assert expected_curve(np.array([0.5, 0.5]), [1]).points[0].note == "no spread"
        assert expected_curve(np.array([0.5, 0.5]), []).points == ()

    @pytest.mark.parametrize("chances", [[], [1.1], [-0.1], [np.nan], [[0.5]]])
    def test_refuses_what_is_no_chance(self, chances):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            expected_curve(np.array(chances), [1])

    def test_refuses_k_below_one(self):
        with pytest.raises(ValueError, match="at least 1"):
            expected_curve(np.array([0.5, 0.2]), [0])
