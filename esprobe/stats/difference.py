"""The paired difference of two pass@k curves, with a band over all k at once."""

from dataclasses import dataclass
from typing import Literal

from esprobe.stats.intervals import Target

DifferenceNote = Literal[
    "none correct", "all correct", "one problem", "one perturbation", "one rollout", "no spread", "both fixed"
]


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
        p_flip: p of a sign-flip permutation over problems, blind to shared perturbations: a check, no substitute.
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
        points: ascending k; empty if no k can be told for both.
        target: what the intervals speak about.
        level: the share of intervals, or of whole bands, that should cover the truth.
        problems: problems that both have.
    """

    points: tuple[DifferencePoint, ...]
    target: Target
    level: float
    problems: int
