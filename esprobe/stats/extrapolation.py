"""pass@K extrapolated beyond n by a zero-inflated beta-binomial (Kazdan et al. 2025, arXiv:2510.05197).

Not by a line through log(-log pass@k) over log k: points of one curve share their rollouts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.betafit import BetaFit, fit_counts
from esprobe.stats.intervals import limits
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.passk import pass_at_k_curve
from esprobe.stats.student import t_quantile

if TYPE_CHECKING:
    from esprobe.spec import Kind

LEAST_ROLLOUTS = 8
"""With fewer rollouts per problem, a quarter of them is too few to validate on."""

GROUPS = 20
"""Groups of problems, and of seeds, that are left out in turn."""

FACTORS = (2, 4, 16)
"""How far beyond n is forecast."""


@dataclass(frozen=True)
class Forecast:
    """pass@K by the fit.

    Attributes:
        k: K, more than n.
        estimate: of pass@K.
        ci_low: lower end of the interval by refitting without groups of problems and of seeds; None if it could
            not be refitted.
        ci_high: upper end.
    """

    k: int
    estimate: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class Validation:
    """The error of the method on known data: fitted on a quarter of the seeds, it predicts pass@n.

    Attributes:
        fitted: rollouts per problem that it was fitted on.
        k: the k predicted.
        predicted: by the fit.
        observed: by the unbiased estimator from all rollouts.
        error: predicted - observed.
    """

    fitted: int
    k: int
    predicted: float
    observed: float
    error: float


@dataclass(frozen=True)
class Extrapolation:
    """Forecasts, and the error of the method on known data.

    Attributes:
        fit: to all rollouts; None if there is none, see ``note``.
        forecasts: ascending K.
        validations: errors on the data themselves, ascending k.
        note: why there is no fit, in words; None otherwise.
    """

    fit: BetaFit | None
    forecasts: tuple[Forecast, ...]
    validations: tuple[Validation, ...]
    note: str | None = None


def extrapolate(outcomes: Outcomes, kind: "Kind", level: float = 0.95) -> Extrapolation:
    """Forecasts beyond n, their intervals, and the error of the same method on the data themselves.

    The variance is a delete-group jackknife over problems and, where perturbations are shared, one over seeds added
    to it; the interval is computed as those of pass@k are.

    Args:
        outcomes: the verdicts.
        kind: how rollouts were sampled.
        level: the share of intervals that should cover.
    """
    n = outcomes.n_min
    if n < LEAST_ROLLOUTS:
        return Extrapolation(None, (), (), f"fewer than {LEAST_ROLLOUTS} rollouts of some problem")
    if not outcomes.correct.any():
        return Extrapolation(None, (), (), "no rollout is correct")
    if outcomes.c.sum() == outcomes.n.sum():
        return Extrapolation(None, (), (), "every rollout is correct")
    if outcomes.problems < 2 * GROUPS:
        return Extrapolation(None, (), (), f"fewer than {2 * GROUPS} problems")
    fit = fit_counts(outcomes.n, outcomes.c)
    ks = [factor * n for factor in FACTORS]
    estimates = fit.pass_at(ks)
    variances = _variances(outcomes, kind, fit, ks)
    critical = t_quantile((1 + level) / 2, GROUPS - 1)
    forecasts = []
    for k, estimate, variance in zip(ks, estimates, variances, strict=True):
        around = None
        if variance is not None and 0 < estimate < 1:
            around = limits(float(estimate), math.inf, variance, outcomes.problems, critical, 1 - level, math.inf)
        forecasts.append(Forecast(k, float(estimate), around.low if around else None, around.high if around else None))
    return Extrapolation(fit, tuple(forecasts), _validations(outcomes))


def _variances(outcomes: Outcomes, kind: "Kind", fit: BetaFit, ks: Sequence[int]) -> list[float | None]:
    rows = np.arange(outcomes.problems) % GROUPS
    without = [(outcomes.n[rows != g], outcomes.c[rows != g]) for g in range(GROUPS)]
    total = _jackknife([_refitted(*counts, fit, ks) for counts in without])
    if kind.shares_noise:
        columns = np.arange(outcomes.stored.shape[1]) % GROUPS
        kept = [columns != g for g in range(min(GROUPS, outcomes.stored.shape[1]))]
        counts = [(outcomes.stored[:, k].sum(axis=1), outcomes.correct[:, k].sum(axis=1)) for k in kept]
        shared = _jackknife([_refitted(n[n > 0], c[n > 0], fit, ks) for n, c in counts])
        total = None if total is None or shared is None else total + shared
    return [None] * len(ks) if total is None else [float(v) for v in total]


def _refitted(
    n: NDArray[np.int64], c: NDArray[np.int64], near: BetaFit, ks: Sequence[int]
) -> NDArray[np.float64] | None:
    try:
        return fit_counts(n, c, near).pass_at(ks)
    except ValueError:  # the group held every correct rollout, or every wrong one
        return None


def _jackknife(values: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    refitted = [value for value in values if value is not None]
    if len(refitted) < len(values):
        return None
    stacked = np.stack(refitted)
    deviations = stacked - stacked.mean(axis=0)
    variance: NDArray[np.float64] = (len(stacked) - 1) / len(stacked) * (deviations**2).sum(axis=0)
    return variance


def _validations(outcomes: Outcomes) -> tuple[Validation, ...]:
    """Errors of a fit to the first quarter of the seeds."""
    quarter = outcomes.stored.shape[1] // 4
    n = outcomes.stored[:, :quarter].sum(axis=1)
    c = outcomes.correct[:, :quarter].sum(axis=1)
    if n.min() < 1 or not c.any() or not (c < n).any():
        return ()
    fit = fit_counts(n, c)
    ks = [k for k in (outcomes.n_min // 2, outcomes.n_min) if k > quarter]
    observed = pass_at_k_curve(outcomes.n, outcomes.c, ks).mean(axis=0)
    return tuple(
        Validation(int(n.min()), k, float(predicted), float(seen), float(predicted - seen))
        for k, predicted, seen in zip(ks, fit.pass_at(ks), observed, strict=True)
    )
