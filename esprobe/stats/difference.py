"""The paired difference of two pass@k curves, with a band over all k at once.

Built from the two sides' own intervals by the method of variance estimates recovery (Newcombe 1998; Zou & Donner
2008), narrowed by what pairing takes off the variance. It stays inside -1 to 1, works where one side solves nothing
or everything, and is the usual interval where both are far from that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.intervals import Target, limits
from esprobe.stats.mcnemar import sign_flip
from esprobe.stats.multiplicity import holm, simultaneous_critical
from esprobe.stats.rare import FEW
from esprobe.stats.side import (
    Side,
    rollout_covariance,
    seed_covariance,
    shared_rollout_covariance,
    shared_seed_covariance,
)
from esprobe.stats.student import t_quantile, two_sided

DifferenceNote = Literal["one problem", "one perturbation", "one rollout", "no spread", "no luck", "both fixed"]
"""Why there is no interval."""

_FARTHEST = 64.0
"""Largest number of standard errors considered: its p prints as 0."""


@dataclass(frozen=True)
class DifferencePoint:
    """pass@k of B minus pass@k of A at one k, problem by problem.

    Attributes:
        k: rollouts of each.
        a: pass@k of A over the common problems.
        b: of B.
        estimate: b - a.
        ci_low: lower end of the interval at this k alone; None without one.
        ci_high: upper end.
        band_low: lower end of the band that covers all k at once; None without one.
        band_high: upper end.
        p: two-sided p that the difference is 0, by the same variance; None without one.
        p_holm: p adjusted by Holm for all contrasts that are printed together; None likewise.
        p_flip: p of a sign-flip permutation over problems, which ignores shared perturbations: a sensitivity check.
            None for the same problems (fixed set), and for a single problem.
        note: why there is no interval, or an unusual one; None for an ordinary one.
    """

    k: int
    a: float
    b: float
    estimate: float
    ci_low: float | None
    ci_high: float | None
    band_low: float | None
    band_high: float | None
    p: float | None
    p_holm: float | None
    p_flip: float | None
    note: DifferenceNote | None = None


@dataclass(frozen=True)
class Difference:
    """pass@k of B minus pass@k of A.

    Attributes:
        points: ascending k; empty if no k is within n of both.
        target: what the intervals are for.
        level: the share of intervals, or of whole bands, that should cover the truth.
        problems: problems that both have.
    """

    points: tuple[DifferencePoint, ...]
    target: Target
    level: float
    problems: int


@dataclass(frozen=True, eq=False)
class _Paired:
    """Two sides, the (K,) differences b - a of their means, and (K, K) covariances of means under one target."""

    a: Side
    b: Side
    differences: NDArray[np.float64]
    of_a: NDArray[np.float64]
    of_b: NDArray[np.float64]
    of_difference: NDArray[np.float64]
    clusters: int
    target: Target


def paired_difference(
    a: Side,
    b: Side,
    target: Target = "problems like these",
    level: float = 0.95,
    *,
    shared_seeds: bool = False,
) -> Difference:
    """pass@k of B minus pass@k of A, over the same problems and k.

    The variance of the difference of means is s^2(d_i) / P, d_i being the difference at problem i, plus V_S - V_PS
    of each side that is a perturbation; where both are and their seeds name the same noise, V_S and V_PS are those
    of the difference itself. For the same problems it is V_S of perturbations and V_PS of temperatures alone.

    Args:
        a: the first side.
        b: the second side, with the same problems in the same order, and the same k.
        target: what the intervals are for.
        level: the share that should cover.
        shared_seeds: whether both are perturbations of one noise scheme and scope.

    Raises:
        ValueError: the sides do not match.
    """
    if a.ks != b.ks or len(a.values) != len(b.values):
        raise ValueError("both sides must have the same problems and the same k")
    note = _missing(a, b, target)
    differences = b.values - a.values
    # Sign flips treat problems as a random sample.
    flipped = target == "problems like these" and len(differences) > 1
    flips = sign_flip(differences).tolist() if flipped else [None] * len(a.ks)
    pair = _paired(a, b, target, shared_seeds)
    means = pair.differences
    points = []
    band = _band_critical(pair, level) if note is None else None
    for j, k in enumerate(a.ks):
        point = DifferencePoint(
            k=k,
            a=float(a.values[:, j].mean()),
            b=float(b.values[:, j].mean()),
            estimate=float(means[j]),
            ci_low=None,
            ci_high=None,
            band_low=None,
            band_high=None,
            p=None,
            p_holm=None,
            p_flip=flips[j],
            note=note,
        )
        points.append(point if note is not None else _with_intervals(point, pair, j, level, band))
    adjusted = holm([point.p for point in points])
    adjusted_points = tuple(replace(point, p_holm=p) for point, p in zip(points, adjusted, strict=True))
    return Difference(adjusted_points, target, level, len(differences))


def pointwise_intervals(
    a: Side, b: Side, level: float = 0.95, *, shared_seeds: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The intervals of ``paired_difference`` at each k alone, for new problems, without band and p: for many k.

    Args:
        a: the first side.
        b: the second side, with the same problems in the same order, and as many columns.
        level: the share that should cover.
        shared_seeds: whether both are perturbations of one noise scheme and scope.

    Returns:
        (K,) lower and (K,) upper ends of the difference b - a, NaN where nothing varies; None without any interval.

    Raises:
        ValueError: the sides do not match.
    """
    if a.values.shape != b.values.shape:
        raise ValueError("both sides must have the same problems and as many k")
    if _missing(a, b, "problems like these") is not None:
        return None
    pair = _paired(a, b, "problems like these", shared_seeds)
    critical = t_quantile((1 + level) / 2, max(pair.clusters - 1, 1))
    ends = np.full((2, len(a.ks)), np.nan)
    for j in range(len(a.ks)):
        found = _recovered(pair, j)(critical)
        if found is not None:
            ends[:, j] = found
    return ends[0], ends[1]


def _missing(a: Side, b: Side, target: Target) -> DifferenceNote | None:
    if target == "these problems" and a.fixed and b.fixed:
        return "both fixed"
    if target == "problems like these" and len(a.values) == 1:
        return "one problem"
    for side in (a, b):
        if side.n_min < 2 and side.shares_noise:
            return "one perturbation"
        if side.n_min < 2 and side.kind is not None and side.kind.has_token_noise and target == "these problems":
            return "one rollout"
    return None


def _paired(a: Side, b: Side, target: Target, shared_seeds: bool) -> _Paired:
    seeds_a, seeds_b = seed_covariance(a), seed_covariance(b)
    rollouts_a, rollouts_b = rollout_covariance(a), rollout_covariance(b)
    like_a = _two_way(_between(a.values), seeds_a, rollouts_a)
    like_b = _two_way(_between(b.values), seeds_b, rollouts_b)
    if shared_seeds:
        seeds, rollouts = shared_seed_covariance(a, b), shared_rollout_covariance(a, b)
    else:
        seeds = seeds_a + seeds_b
        # The perturbations' variance already contains that of their rollouts.
        rollouts = rollouts_a * a.shares_noise + rollouts_b * b.shares_noise
    differences = b.values - a.values
    means = differences.mean(axis=0)
    like = _two_way(_between(differences), seeds, rollouts)
    clusters = min(side.clusters for side in (a, b))
    if target == "problems like these":
        return _Paired(a, b, means, like_a, like_b, like, clusters, target)
    within_a, within_b = _within(a, seeds_a, rollouts_a), _within(b, seeds_b, rollouts_b)
    within = seeds if shared_seeds else within_a + within_b
    several = len(a.values) > 1
    return _Paired(
        a,
        b,
        means,
        _capped(within_a, like_a) if several else within_a,
        _capped(within_b, like_b) if several else within_b,
        _capped(within, like) if several else within,
        clusters,
        target,
    )


def _capped(covariance: NDArray[np.float64], most: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variances never above ``most``: at k near n the jackknife overstates them."""
    scale = np.sqrt(np.minimum(1.0, np.diag(most) / np.maximum(np.diag(covariance), 1e-300)))
    capped: NDArray[np.float64] = covariance * np.outer(scale, scale)
    return capped


def _within(side: Side, seeds: NDArray[np.float64], rollouts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, K) covariance of a side over a fixed set of problems."""
    return seeds if side.shares_noise else rollouts


def _between(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, K) covariance of the mean of P problems."""
    centred = values - values.mean(axis=0)
    centred[:, np.ptp(values, axis=0) == 0] = 0.0
    covariance: NDArray[np.float64] = centred.T @ centred / max(len(values) - 1, 1) / len(values)
    return covariance


def _two_way(
    between: NDArray[np.float64], seeds: NDArray[np.float64], rollouts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Inclusion-exclusion, its variances never below those between problems."""
    if not seeds.any():
        return between
    total: NDArray[np.float64] = between + seeds - rollouts
    np.fill_diagonal(total, np.maximum(np.diag(total), np.diag(between)))
    return total


def _band_critical(pair: _Paired, level: float) -> float | None:
    if not (np.diag(pair.of_difference) > 0).any():
        return None
    return simultaneous_critical(pair.of_difference, max(pair.clusters - 1, 1), level)


def _with_intervals(point: DifferencePoint, pair: _Paired, j: int, level: float, band: float | None) -> DifferencePoint:
    df = max(pair.clusters - 1, 1)
    around = _recovered(pair, j)
    critical = t_quantile((1 + level) / 2, df)
    pointwise = around(critical)
    if pointwise is None:
        differences = pair.b.values[:, j] - pair.a.values[:, j]
        return replace(point, note="no luck" if np.ptp(differences) > 0 else "no spread")
    low, high = pointwise
    wide = around(max(band, critical)) if band is not None else pointwise
    assert wide is not None
    return replace(
        point, ci_low=low, ci_high=high, band_low=wide[0], band_high=wide[1], p=two_sided(_distance(around), df)
    )


def _recovered(pair: _Paired, j: int) -> "Callable[[float], tuple[float, float] | None]":
    """The interval of one difference as a function of its critical value; None where nothing varies."""
    mean_a, mean_b = (float(side.values[:, j].mean()) for side in (pair.a, pair.b))
    estimate = float(pair.differences[j])
    v_a, v_b, v_d = (float(v[j, j]) for v in (pair.of_a, pair.of_b, pair.of_difference))
    # How much less the difference varies than two independent sides would. With a correlation inside the root, as
    # Newcombe has it, intervals of skewed and strongly correlated sides would be too wide.
    shrunk = math.sqrt(v_d / (v_a + v_b)) if v_a + v_b > 0 else 1.0
    failures = [float((1 - side.values[:, j]).sum()) for side in (pair.a, pair.b)]
    successes = [side.successes(these_problems=pair.target == "these problems") for side in (pair.a, pair.b)]
    df = max(pair.clusters - 1, 1)

    def around(critical: float) -> tuple[float, float] | None:
        # Only the bounds at the ends need it, and it is by far the slowest part.
        extreme = any(
            p in (0, 1) or f < 1 or s < FEW for p, f, s in zip((mean_a, mean_b), failures, successes, strict=True)
        )
        alpha = max(two_sided(critical, df), 1e-300) if extreme else math.nan
        ends = []
        for side, p, failing, succeeding, variance in (
            (pair.a, mean_a, failures[0], successes[0], v_a),
            (pair.b, mean_b, failures[1], successes[1], v_b),
        ):
            # Nothing varies: a fixed set of problems gives the same answers again, or all problems have one pass@k.
            # A greedy side that solves none of these problems may well solve other problems.
            if variance == 0 and ((side.fixed and pair.target == "these problems") or 0 < p < 1):
                ends.append((p, p))
                continue
            interval = limits(p, failing, variance, side.clusters, critical, alpha, succeeding)
            assert interval.low is not None and interval.high is not None
            ends.append((interval.low, interval.high))
        (low_a, high_a), (low_b, high_b) = ends
        down = shrunk * math.hypot(mean_b - low_b, high_a - mean_a)
        up = shrunk * math.hypot(high_b - mean_b, mean_a - low_a)
        if down == up == 0:
            return None
        return max(-1.0, estimate - down), min(1.0, estimate + up)

    return around


def _distance(around: "Callable[[float], tuple[float, float] | None]") -> float:
    """Standard errors at which the interval just reaches 0, so that p and interval never disagree."""

    def holds_zero(critical: float) -> bool:
        interval = around(critical)
        return interval is None or interval[0] <= 0 <= interval[1]

    near, far = 0.0, _FARTHEST
    if not holds_zero(far):
        return far
    for _ in range(40):
        middle = (near + far) / 2
        near, far = (near, middle) if holds_zero(middle) else (middle, far)
    return far
