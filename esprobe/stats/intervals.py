"""Confidence intervals of a mean pass@k, for problems that share perturbations and for problems that do not.

Owns the variance components and the intervals built on them. Does not know where outcomes come from.

A temperature rollout has its own random stream, so problems are independent and the spread between them is the whole
uncertainty. A perturbation is drawn once and shared by all problems: problems and perturbations are crossed random
effects, and intervals over problems alone cover far too little.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.outcomes import Outcomes
from esprobe.stats.passk import pass_at_k_curve
from esprobe.stats.rare import FEW, independent_successes, lower_share, successes_behind
from esprobe.stats.student import t_quantile

if TYPE_CHECKING:
    from esprobe.spec import Kind

Target = Literal["problems like these", "these problems"]
"""What an interval is for: new problems (a random set from the same population), or the same problems (a fixed set).

The values are keys of JSON documents; ``report.text.TARGETS`` has their names in print.
"""

Note = Literal[
    "none correct",
    "all correct",
    "one problem",
    "one perturbation",
    "one rollout",
    "no spread",
    "no luck",
    "greedy is fixed",
]
"""Why an interval is a Clopper-Pearson bound (the first two) or is not given (the others)."""

SEED_BLOCK = 256
"""Seeds converted to float64 at a time: 4 MB for 2,000 problems, whatever the number of samples."""


@dataclass(frozen=True, eq=False)
class VarianceParts:
    """Components of the variance of the mean pass@k over problems, one entry per k.

    Attributes:
        by_problem: (K,) V_P, the variance between problems; NaN for one problem.
        by_seed: (K,) V_S, what the shared perturbations contribute, their interaction with problems included;
            NaN where some problem has one rollout only.
        by_rollout: (K,) V_PS, what the choice of rollouts within each problem contributes when problems draw
            independently, which both others contain; NaN where some problem has one rollout only.
    """

    by_problem: NDArray[np.float64]
    by_seed: NDArray[np.float64]
    by_rollout: NDArray[np.float64]

    def total(self, kind: "Kind", target: Target = "problems like these") -> NDArray[np.float64]:
        """(K,) variance of the estimate for a target; NaN where it cannot be estimated.

        For perturbations and new problems it is inclusion-exclusion over the two clusterings (Cameron, Gelbach & Miller
        2011), never below the variance between problems. That of the same problems is capped at that of new problems:
        at k near n the jackknife overstates it.
        """
        new_problems = self.by_problem
        if kind.shares_noise:
            new_problems = np.maximum(self.by_problem + self.by_seed - self.by_rollout, self.by_problem)
        if target == "problems like these":
            return new_problems
        if not kind.is_sampled:
            return np.full_like(self.by_problem, np.nan)
        same_problems = self.by_seed if kind.shares_noise else self.by_rollout
        # Not np.minimum: with one problem the variance between problems is NaN, and caps nothing.
        return np.where(same_problems > new_problems, new_problems, same_problems)


@dataclass(frozen=True)
class Interval:
    """An interval, or the reason why there is none.

    Attributes:
        low: lower end, None without an interval.
        high: upper end, None without an interval.
        note: None for an ordinary interval.
    """

    low: float | None
    high: float | None
    note: Note | None = None


def variance_parts(outcomes: Outcomes, ks: Sequence[int]) -> VarianceParts:
    """Variance components of the mean pass@k.

    V_P = s^2(f_i) / P. V_S and V_PS are jackknives over rollouts, which suit pass@k because it is a U-statistic
    (Arvesen 1969): leaving one out of n changes f(n, c, k) to f(n-1, c-x, k), and only for problems that have it.
    With a_i and b_i the values after a correct and a wrong one is left out,

        V_S  = (S-1)/S sum_s (theta(-s) - mean theta(-.))^2
        V_PS = sum_i (n_i-1)/n_i c_i (n_i-c_i)/n_i (a_i - b_i)^2 / P^2

    The jackknife needs k <= min n - 1. At k = min n both use k - 1 instead: pass@k is a mixture of (1-p)^k, so at
    large k neighbouring values hardly differ, and V_P, the larger part there, keeps the true k.

    Raises:
        ValueError: there is no problem, or not 1 <= k <= min n for every k.
    """
    p, n, c = outcomes.problems, outcomes.n, outcomes.c
    f = pass_at_k_curve(n, c, ks)
    undefined = np.full(len(ks), np.nan)
    by_problem = spread(f) if p > 1 else undefined
    if outcomes.n_min < 2:
        return VarianceParts(by_problem, undefined, undefined)
    usable = [min(k, outcomes.n_min - 1) for k in ks]
    right, wrong = left_out(outcomes, usable)
    weight = ((n - 1) / n * c * (n - c) / n)[:, None]
    by_rollout = (weight * (right - wrong) ** 2).sum(axis=0) / p**2
    shifts = leave_one_seed_out(outcomes, usable)
    seeds = len(shifts)
    by_seed = (seeds - 1) / seeds * ((shifts - shifts.mean(axis=0)) ** 2).sum(axis=0)
    return VarianceParts(by_problem, by_seed, by_rollout)


def spread(f: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) variance of the mean of P > 1 independent problems, from (P, K) values: s^2 / P.

    Equal values have variance exactly 0, and not the rounding error of their mean.
    """
    return np.where(np.ptp(f, axis=0) == 0, 0.0, f.var(axis=0, ddof=1) / len(f))


def leave_one_seed_out(outcomes: Outcomes, ks: Sequence[int]) -> NDArray[np.float64]:
    """How the mean pass@k moves when one seed is left out of every problem that has it: theta(-s) - theta.

    Returns:
        (S, K) float64, one row for each seed that any problem has; columns sum to 0.

    Raises:
        ValueError: not 1 <= k <= min n - 1 for every k.
    """
    p, n, c = outcomes.problems, outcomes.n, outcomes.c
    f = pass_at_k_curve(n, c, ks)
    right, wrong = left_out(outcomes, ks)
    if outcomes.complete:
        # The part that is equal for all seeds is summed once.
        shifts = np.broadcast_to((wrong - f).sum(axis=0), (outcomes.stored.shape[1], len(ks))).copy()
    else:
        shifts = _by_seed(outcomes.stored, wrong - f)
    shifts += _by_seed(outcomes.correct, right - wrong)
    per_seed: NDArray[np.float64] = shifts[outcomes.stored.any(axis=0)] / p
    return per_seed


def _by_seed(cells: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, K) sums of (P, K) values over the problems for which a (P, S) cell is set."""
    sums = np.empty((cells.shape[1], values.shape[1]))
    for start in range(0, len(sums), SEED_BLOCK):
        block = slice(start, start + SEED_BLOCK)
        sums[block] = cells[:, block].astype(np.float64).T @ values
    return sums


def intervals(
    outcomes: Outcomes,
    ks: Sequence[int],
    kind: "Kind",
    target: Target = "problems like these",
    level: float = 0.95,
) -> list[Interval]:
    """Intervals for the mean pass@k, one per k.

    Built on the complementary log-log scale log(-log(1-p)), on which pass@k of rare successes grows by log k, so
    that they stay inside (0, 1) and are as wide relative to a small value as to a large one. The quantile is
    Student's t with one degree of freedom less than there are clusters (problems, or perturbations if those are
    fewer): with 8 perturbations the normal one covers 89 to 91 % instead of 95 (simulated). Where nothing varies
    because no problem is solved, or every one, the bound of ``extreme_bound`` is given instead; where few
    successes were seen, the lower end is never above that of ``lower_share``.

    Raises:
        ValueError: there is no problem; not 1 <= k <= min n for every k; or not 0 < level < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    f = pass_at_k_curve(outcomes.n, outcomes.c, ks)
    variances = variance_parts(outcomes, ks).total(kind, target)
    missing = _missing_reason(outcomes, kind, target)
    if missing is not None:
        return [Interval(None, None, missing)] * len(ks)
    result = []
    successes = successes_behind(outcomes, kind, these_problems=target == "these problems")
    for j, k in enumerate(ks):
        clusters = _clusters(outcomes, k, kind, target)
        around = interval(f[:, j], float(variances[j]), clusters, level, successes)
        # For a fixed set of problems, no variance means that no problem's rollouts vary its pass@k.
        no_luck = around.note == "no spread" and target == "these problems"
        result.append(Interval(None, None, "no luck") if no_luck else around)
    return result


def interval(
    f: NDArray[np.float64], variance: float, clusters: int, level: float = 0.95, successes: float | None = None
) -> Interval:
    """The interval around the mean of per-problem values.

    Args:
        f: (P,) pass@k of each problem.
        variance: of the mean of f.
        clusters: independent trials in the data: one more than the variance's degrees of freedom.
        level: the share of intervals that should cover the truth.
        successes: independent successes behind the values; if None, the problems that have any.
    """
    critical = t_quantile((1 + level) / 2, max(clusters - 1, 1))
    if successes is None:
        successes = independent_successes(int(np.count_nonzero(f)), len(f))
    return limits(float(f.mean()), float((1 - f).sum()), variance, clusters, critical, 1 - level, successes)


def limits(
    p: float, failures: float, variance: float, clusters: int, critical: float, alpha: float, successes: float
) -> Interval:
    """An interval from its critical value.

    Args:
        p: the mean over problems.
        failures: the sum of 1 - pass@k over problems.
        variance: of p.
        clusters: see ``interval``.
        critical: standard errors to either side, on the complementary log-log scale.
        alpha: the share of intervals that may miss, for the Clopper-Pearson bounds and few successes.
        successes: independent successes behind p; infinite to ignore them.
    """
    if p == 0:
        return Interval(0.0, extreme_bound(clusters, alpha), "none correct")
    floor = 1 - extreme_bound(clusters, alpha)
    if failures == 0:
        return Interval(floor, 1.0, "all correct")
    if variance == 0:
        return Interval(None, None, "no spread")
    hazard = -math.log1p(-p)
    half = critical * math.sqrt(variance) / ((1 - p) * hazard)
    # exp(700) is about the largest float; the upper end is 1 long before.
    low, high = (-math.expm1(-hazard * math.exp(min(side, 700.0))) for side in (-half, half))
    # With less than one problem's worth of failures, the variance between problems contains none from problems
    # that fail. Without this the interval would collapse just before it opens again at "all correct".
    if failures < 1:
        low = min(low, floor)
    if successes < FEW:
        low = min(low, -math.expm1(-hazard * lower_share(successes, alpha)))
    return Interval(low, high)


def extreme_bound(clusters: int, alpha: float) -> float:
    """The Clopper-Pearson upper end for 0 successes in independent trials: 1 - (alpha/2)^(1/clusters)."""
    return -math.expm1(math.log(alpha / 2) / clusters)


def left_out(outcomes: Outcomes, ks: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P, K) pass@k of each problem without one of its correct rollouts, and without one of its wrong ones.

    With k <= min n - 1. Where a problem has no such rollout the value is arbitrary, and every use gives it weight 0.
    """
    n, c = outcomes.n - 1, outcomes.c
    return pass_at_k_curve(n, np.maximum(c - 1, 0), ks), pass_at_k_curve(n, np.minimum(c, n), ks)


def _missing_reason(outcomes: Outcomes, kind: "Kind", target: Target) -> Note | None:
    if target == "these problems":
        if not kind.is_sampled:
            return "greedy is fixed"
        if outcomes.n_min < 2:
            return "one perturbation" if kind.shares_noise else "one rollout"
        return None
    if outcomes.problems == 1:
        return "one problem"
    # All problems share a single perturbation, so its variance does not show in the spread between them.
    return "one perturbation" if kind.shares_noise and outcomes.n_min < 2 else None


def _clusters(outcomes: Outcomes, k: int, kind: "Kind", target: Target) -> int:
    """Independent trials in outcomes that do not vary, for the Clopper-Pearson bound.

    Independent problems are one trial of pass@k each, and floor(n/k) trials for a fixed set of problems (the mean of
    their chances of failing bounds the product of them). Crossed problems and perturbations contain min(P, S) pairs
    with nothing in common, which is exact at k = 1. At larger k this assumes that perturbations not drawn are like
    those drawn: if one in many solved everything and the rest nothing, S perturbations that solve nothing would be
    worth a single trial of pass@S.
    """
    if kind.shares_noise:
        return min(outcomes.problems, outcomes.n_min)
    return outcomes.problems * (outcomes.n_min // k if target == "these problems" else 1)
