"""A condition's pass@k curve with its intervals.

Does not know the store: outcomes come in as arrays, points go out as numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esprobe.spec import Kind
from esprobe.stats.intervals import Interval, Note, Target, interval, intervals, spread
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.passk import pass_at_k_curve


@dataclass(frozen=True)
class Point:
    """pass@k at one k.

    Attributes:
        k: rollouts per problem.
        estimate: mean over problems of the unbiased pass@k.
        ci_low: lower end of the interval, None if there is none.
        ci_high: upper end of the interval, None if there is none.
        problems: problems averaged over; never fewer at a larger k.
        note: why the interval is a bound or missing; None for an ordinary one.
    """

    k: int
    estimate: float
    ci_low: float | None
    ci_high: float | None
    problems: int
    note: Note | None = None


@dataclass(frozen=True)
class Curve:
    """pass@k for growing k.

    Attributes:
        points: in ascending k; empty if nothing is stored.
        target: what the intervals are for.
        level: the share of intervals that should cover the truth.
    """

    points: tuple[Point, ...]
    target: Target = "problems like these"
    level: float = 0.95


@dataclass(frozen=True)
class GroupCurve:
    """The curve of one problem class.

    Attributes:
        group: the class, such as "3 numbers".
        curve: pass@k over its problems alone.
    """

    group: str
    curve: Curve


def default_ks(n_min: int) -> tuple[int, ...]:
    """Powers of two up to the fewest rollouts of any problem; empty below one rollout."""
    return tuple(2**j for j in range(max(n_min, 0).bit_length()))


def estimate_curve(
    outcomes: Outcomes,
    kind: Kind | str,
    ks: Sequence[int] | None = None,
    target: Target = "problems like these",
    level: float = 0.95,
) -> Curve:
    """pass@k of one condition.

    Args:
        outcomes: the verdicts; without problems the curve has no points.
        kind: how rollouts were sampled, which decides what they share; a ``Kind`` or its value.
        ks: in any order; powers of two up to the fewest rollouts of any problem if None.
        target: what the intervals are for.
        level: the share of intervals that should cover the truth.

    Raises:
        ValueError: not 1 <= k <= min n for every k, not 0 < level < 1, or an unknown kind.
    """
    kind = Kind(kind)
    if outcomes.problems == 0:
        return Curve((), target, level)
    ks = default_ks(outcomes.n_min) if ks is None else sorted(set(ks))
    values = pass_at_k_curve(outcomes.n, outcomes.c, ks)
    return Curve(_points(values, ks, intervals(outcomes, ks, kind, target, level)), target, level)


def known_passk(
    chances: NDArray[np.float64], ks: Sequence[int], first: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """pass@k (P, K) where each problem's chance p is known: 1 - (1 - f)(1 - p)^(k - 1), f being the first draw's.

    Args:
        chances: (P,) float64 chance in 0..1 that one draw is correct.
        ks: each at least 1.
        first: (P,) the chance of the first draw; None if it is that of every other.
    """
    draws = np.array(ks, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # a chance of 1, and no later draw of that chance
        never = np.log1p(-chances)[:, None]
        if first is None:
            wrong = never * draws
        else:
            wrong = np.log1p(-first)[:, None] + np.where(draws > 1, never * (draws - 1), 0.0)
    values: NDArray[np.float64] = -np.expm1(wrong)
    return np.abs(values)  # no -0


def expected_curve(
    chances: NDArray[np.float64],
    ks: Sequence[int],
    level: float = 0.95,
    first: NDArray[np.float64] | None = None,
) -> Curve:
    """pass@k of a null model whose chance at each problem is known: the mean of ``known_passk``.

    Only the choice of problems is uncertain.

    Args:
        chances: (P,) float64 chance that one draw is correct.
        ks: in any order; any size, since no rollouts limit them.
        level: the share of intervals that should cover the truth.
        first: (P,) the chance of the first draw; None if it is that of every other.

    Raises:
        ValueError: there is no problem, a chance lies outside 0..1, or a k is below 1.
    """
    if chances.ndim != 1 or chances.size == 0 or not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError("chances must hold one number in 0..1 for each of at least one problem")
    if min(ks, default=1) < 1:
        raise ValueError(f"k must be at least 1, got {min(ks)}")
    ks = sorted(set(ks))
    values = known_passk(chances, ks, first)
    p = chances.size
    if p == 1:
        around = [Interval(None, None, "one problem")] * len(ks)
    else:
        around = [interval(f, float(v), p, level) for f, v in zip(values.T, spread(values), strict=True)]
    return Curve(_points(values, ks, around), "problems like these", level)


def _points(values: NDArray[np.float64], ks: Sequence[int], found: Sequence[Interval]) -> tuple[Point, ...]:
    return tuple(
        Point(k, float(f.mean()), around.low, around.high, f.size, around.note)
        for k, f, around in zip(ks, values.T, found, strict=True)
    )
