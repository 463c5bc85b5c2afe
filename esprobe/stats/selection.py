"""The best of many, chosen on one half of the problems and judged on the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 20260901


@dataclass(frozen=True)
class Chosen:
    """The winner of a choice, on the problems it was chosen on and on those it was not.

    Attributes:
        condition: id of the condition it belongs to.
        seed: the perturbation's seed; None where conditions were chosen among.
        k: the k of the pass@k that was compared; 1 for a single perturbation.
        candidates: how many it was chosen among.
        selected_on: problems of the half it was chosen on.
        judged_on: problems of the other half.
        looked: its value where it was chosen; never an estimate of what it is worth.
        estimate: its value on the other half.
        ci_low: lower end of the interval of that; None without one.
        ci_high: upper end.
        average: mean of all candidates on the other half.
        optimism: how much farther above the average it looked than it is: (looked - average where it was chosen) -
            (estimate - average). Halves of different difficulty do not enter.
        expected_optimism: what the choice alone would feign if all candidates were equally good; None where that
            is not worked out.
    """

    condition: int
    seed: int | None
    k: int
    candidates: int
    selected_on: int
    judged_on: int
    looked: float
    estimate: float
    ci_low: float | None
    ci_high: float | None
    average: float
    optimism: float
    expected_optimism: float | None


@dataclass(frozen=True)
class ReferenceLine:
    """A level to read a chosen one against.

    Attributes:
        label: what it is.
        estimate: 0..1.
        ci_low: lower end; None for a published figure.
        ci_high: upper end; None for a published figure.
        measured: whether it was measured in this file, on the judging half, or published elsewhere.
    """

    label: str
    estimate: float
    ci_low: float | None
    ci_high: float | None
    measured: bool


@dataclass(frozen=True)
class Selection:
    """All choices of one report, on one split.

    Attributes:
        seed: of the split, which is stratified by problem class.
        perturbation: the best single perturbation over all sigmas, decoded greedily; None if none can be chosen.
        temperatures: the best temperature at each primary k.
        sigmas: the best sigma at each primary k.
        lines: reference lines for the single perturbation.
        notes: what could not be chosen and why, in words.
    """

    seed: int
    perturbation: Chosen | None
    temperatures: tuple[Chosen, ...]
    sigmas: tuple[Chosen, ...]
    lines: tuple[ReferenceLine, ...]
    notes: tuple[str, ...] = ()


def split(indices: NDArray[np.int64], groups: Sequence[str]) -> NDArray[np.bool_]:
    """(P,) True for the half of the problems to choose on; half of every class, the odd one to the judging half.

    Seeded, and the same for the same problems whichever conditions are looked at.

    Args:
        indices: problem indices, ascending.
        groups: their classes.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    chosen = np.zeros(len(indices), np.bool_)
    classes = np.array(groups, dtype=object)
    for group in sorted(set(groups)):
        members = np.flatnonzero(classes == group)
        chosen[rng.permutation(members)[: len(members) // 2]] = True
    return chosen


def expected_selection_bias(shares: NDArray[np.float64], candidates: int) -> float:
    """How far the best of equally good candidates is expected to look above their average.

    sqrt(sum_i p_i (1 - p_i)) / m is the standard deviation of one candidate's mean over m problems whose chances are
    p_i, and the best of N normals lies E[max] of those above the mean.

    Args:
        shares: (m,) share of candidates that solve each problem.
        candidates: N.
    """
    return float(np.sqrt((shares * (1 - shares)).sum()) / len(shares)) * expected_maximum(candidates)


def expected_maximum(n: int) -> float:
    """Mean of the largest of n standard normal draws, by the integral of 1 - F^n - (1-F)^n over positive x."""
    x = np.linspace(0, 9, 4_001)
    above = np.array([0.5 * math.erfc(v / math.sqrt(2)) for v in x])
    height = -np.expm1(n * np.log1p(-above)) - above**n
    return float(((height[1:] + height[:-1]) / 2).sum() * (x[1] - x[0]))
