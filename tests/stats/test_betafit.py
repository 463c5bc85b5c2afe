"""The Beta distribution, the fit of counts, cover@tau and the forecast, against integrals and simulations."""

import math
from fractions import Fraction

import numpy as np
import pytest

from esprobe.spec import Kind
from esprobe.stats.beta import beta_cdf
from esprobe.stats.betafit import BetaFit, fit_counts
from esprobe.stats.cover import TAUS, cover_curve
from esprobe.stats.extrapolation import extrapolate
from esprobe.stats.minimise import minimise
from esprobe.stats.outcomes import Outcomes


def drawn(seed, problems, seeds, alpha=0.4, beta=6.0, never=0.2):
    rng = np.random.default_rng(seed)
    chance = np.where(rng.random(problems) < never, 0, rng.beta(alpha, beta, problems))
    correct = rng.random((problems, seeds)) < chance[:, None]
    return chance, Outcomes(correct, np.ones_like(correct))


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 3), (5, 1), (30, 70), (7, 1024)])
@pytest.mark.parametrize("x", [0.001, 0.02, 0.3, 0.5, 0.9])
def test_beta_cdf_of_whole_numbers_is_a_binomial_tail(a, b, x):
    """P(Beta(a, b) <= x) = P(Binomial(a + b - 1, x) >= a)."""
    n, q = a + b - 1, Fraction(x)
    below = sum(math.comb(n, j) * q**j * (1 - q) ** (n - j) for j in range(a))
    tail = float(1 - below)
    assert beta_cdf(x, np.array([float(a)]), np.array([float(b)]))[0] == pytest.approx(tail, rel=1e-9, abs=1e-12)


def test_beta_cdf_of_fractions_against_an_integral():
    t = np.linspace(0, 0.1**0.3, 400_001)
    integral = np.trapezoid((1 - t ** (1 / 0.3)) ** 4 / 0.3, t)
    norm = math.exp(math.lgamma(0.3) + math.lgamma(5) - math.lgamma(5.3))
    assert beta_cdf(0.1, np.array([0.3]), np.array([5.0]))[0] == pytest.approx(integral / norm, rel=1e-8)


def test_minimise_finds_the_bottom_of_a_bent_valley():
    found = minimise(lambda p: float((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2), (-1.2, 1.0))
    assert found == pytest.approx([1, 1], abs=1e-3)


def test_pass_at_by_the_definition():
    fit = BetaFit(0.5, 3.0, 0.25)
    log = math.lgamma
    for k in (1, 10, 5000):
        ratio = math.exp(log(3 + k) + log(3.5) - log(3) - log(3.5 + k))
        assert fit.pass_at([k])[0] == pytest.approx(0.75 * (1 - ratio), rel=1e-10)


def test_the_fit_finds_what_made_the_counts():
    chance, outcomes = drawn(0, 4000, 512)
    fit = fit_counts(outcomes.n, outcomes.c)
    assert fit.alpha == pytest.approx(0.4, rel=0.1)
    assert fit.beta == pytest.approx(6, rel=0.15)
    assert fit.never == pytest.approx(0.2, abs=0.04)
    assert fit_counts(outcomes.n, outcomes.c, near=fit).never == pytest.approx(fit.never, abs=0.005)
    assert fit.pass_at([5000])[0] == pytest.approx((1 - (1 - chance) ** 5000).mean(), abs=0.02)


@pytest.mark.parametrize("c", [[0, 0, 0], [4, 4, 4]])
def test_counts_without_any_news_are_not_fitted(c):
    with pytest.raises(ValueError, match="all 0 or all n"):
        fit_counts(np.full(3, 4), np.array(c))


def test_cover_takes_the_noise_out_of_counts():
    """16 rollouts leave much noise: observed shares of problems above 0.3 are off by more than the estimate is."""
    chance, outcomes = drawn(1, 3000, 16, alpha=2, beta=8, never=0.0)
    point = cover_curve(outcomes)[TAUS.index(0.5)]
    truth = (chance >= 0.5).mean()
    assert abs(point.estimate - truth) < 0.01 < abs(point.observed - truth)


def test_cover_without_anything_to_fit_says_what_was_observed():
    for value in (False, True):
        points = cover_curve(Outcomes(np.full((5, 4), value), np.ones((5, 4), bool)))
        assert all(p.observed == value and p.estimate is None for p in points)
    assert cover_curve(Outcomes(np.zeros((0, 0), bool), np.zeros((0, 0), bool))) == ()


def test_cover_counts_a_share_that_equals_tau():
    correct = np.zeros((1, 10), bool)
    correct[0, :3] = True
    points = {p.tau: p.observed for p in cover_curve(Outcomes(correct, np.ones_like(correct)))}
    assert (points[0.3], points[0.4]) == (1.0, 0.0)


def test_a_forecast_covers_the_truth_and_its_error_is_told():
    chance, outcomes = drawn(2, 600, 128)
    for kind in (Kind.TEMPERATURE, Kind.PERTURBATION):
        found = extrapolate(outcomes, kind)
        assert [f.k for f in found.forecasts] == [256, 512, 2048]
        for f in found.forecasts:
            assert f.ci_low < (1 - (1 - chance) ** f.k).mean() < f.ci_high
        assert [v.k for v in found.validations] == [64, 128]
        for v in found.validations:
            assert v.fitted == 32 and v.error == pytest.approx(v.predicted - v.observed) and abs(v.error) < 0.05


@pytest.mark.parametrize(
    ("shape", "value", "said"),
    [((50, 4), True, "fewer than 8 rollouts"), ((50, 16), False, "no rollout is correct"),
     ((50, 16), True, "every rollout is correct"), ((0, 0), False, "fewer than 8 rollouts")],
)  # fmt: skip
def test_what_cannot_be_forecast_has_a_reason(shape, value, said):
    found = extrapolate(Outcomes(np.full(shape, value), np.ones(shape, bool)), Kind.TEMPERATURE)
    assert found.fit is None and found.forecasts == () and said in found.note
