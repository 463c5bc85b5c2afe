"""The best of many, chosen on one half of the problems and judged on the other."""

from dataclasses import dataclass
from typing import Literal


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
        optimism: looked - estimate.
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


Arm = Literal["temperature", "perturbation"]
