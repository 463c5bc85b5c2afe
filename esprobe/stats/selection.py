"""The best of many candidates: selected on one half of the problems, judged on the held-out half."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 20260901


@dataclass(frozen=True)
class Chosen:
    """The best of several candidates: its value on the half of the problems it was selected on, and on the other.

    Attributes:
        condition: id of the condition it belongs to.
        seed: the perturbation's seed; None where whole conditions are the candidates.
        k: the k of the pass@k that was compared; 1 for a single perturbation.
        candidates: how many it was selected among.
        selected_on: problems of the selection half.
        judged_on: problems of the held-out half.
        selection_score: pass@k on the selection half, 0..1; biased upwards by the selection.
        estimate: pass@k on the held-out half.
        ci_low: lower end of the interval of ``estimate``; None without one.
        ci_high: upper end.
        mean: mean of all candidates on the held-out half.
        optimism: how much the lead over the mean shrinks on the held-out half: (selection_score - mean on the
            selection half) - (estimate - mean). A difference in difficulty between the halves cancels.
        expected_optimism: the optimism to expect if all candidates were equally good; None where it is not computed.
    """

    condition: int
    seed: int | None
    k: int
    candidates: int
    selected_on: int
    judged_on: int
    selection_score: float
    estimate: float
    ci_low: float | None
    ci_high: float | None
    mean: float
    optimism: float
    expected_optimism: float | None


@dataclass(frozen=True)
class ReferenceLine:
    """A level to compare the best perturbation with.

    Attributes:
        model: the model's name.
        method: how it was trained or decoded, of a published figure; None for the greedy baseline, measured on the
            held-out half.
        estimate: 0..1.
        ci_low: lower end; None for a published figure.
        ci_high: upper end; None for a published figure.
    """

    model: str
    method: str | None
    estimate: float
    ci_low: float | None
    ci_high: float | None

    @property
    def measured(self) -> bool:
        """Whether it was measured in this database, rather than published elsewhere."""
        return self.method is None


@dataclass(frozen=True)
class OneModelOnly:
    """Only conditions of this model, dtype and token limit were candidates; there are others."""

    model: str
    dtype: str
    max_tokens: int


@dataclass(frozen=True)
class NarrowConditions:
    """Conditions left out, because they cover less than half of the problems of the widest one of their arm."""

    labels: tuple[str, ...]


@dataclass(frozen=True)
class ProblemsNotShared:
    """Problems left out, because not every candidate has them."""

    problems: int


@dataclass(frozen=True)
class NoGreedyBaseline:
    """There is no greedy baseline over these problems."""


@dataclass(frozen=True)
class TooFewProblems:
    """Too few problems to select on some and judge on others."""

    problems: int


@dataclass(frozen=True)
class TooFewPerturbations:
    """Fewer than two perturbations were run on every problem."""


SelectionNote: TypeAlias = (
    OneModelOnly | NarrowConditions | ProblemsNotShared | NoGreedyBaseline | TooFewProblems | TooFewPerturbations
)
"""What was left out of a selection, or could not be selected, and why."""


@dataclass(frozen=True)
class Selection:
    """All selections of one report, on one split.

    Attributes:
        seed: of the split, which is stratified by problem class.
        perturbation: the best single perturbation over all sigmas, decoded greedily; None if none can be selected.
        temperatures: the best temperature at each primary k.
        sigmas: the best sigma at each primary k.
        lines: reference lines for the single perturbation.
        notes: what was left out and why.
    """

    seed: int
    perturbation: Chosen | None
    temperatures: tuple[Chosen, ...]
    sigmas: tuple[Chosen, ...]
    lines: tuple[ReferenceLine, ...]
    notes: tuple[SelectionNote, ...] = ()


def split(indices: NDArray[np.int64], groups: Sequence[str]) -> NDArray[np.bool_]:
    """(P,) True for the selection half: half of every class; an odd problem goes to the held-out half.

    Seeded: the same for the same problems, whichever conditions are compared.

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
    """Expected lead of the best of equally good candidates over their mean, on the problems it is selected on.

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
