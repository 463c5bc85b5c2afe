"""The verdict's rule, fixed before any data were seen, and its results as values.

docs/statistics.md states the rule. Nothing here looks at a number that was also used to choose.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, TypeAlias

from esprobe.spec import Kind

PRIMARY_KS = (1, 16, 256)
MARGIN = 0.02

Outcome = Literal["B ahead", "A ahead", "alike", "not told apart"]
"""Interval above 0; below 0; inside +-MARGIN; anything else."""


class Reference(Enum):
    """What the best condition of an arm is compared with."""

    BEST_TEMPERATURE = auto()
    GUESSING = auto()
    GREEDY = auto()
    SIGMA_0 = auto()


@dataclass(frozen=True)
class ContrastResult:
    """One pre-declared contrast, on the half of the problems that nothing was selected on.

    Attributes:
        arm: kind of the best condition, B.
        reference: what A is.
        k: the k.
        a: label of A.
        b: label of B.
        pass_a: pass@k of A, 0..1.
        pass_b: pass@k of B.
        estimate: ``pass_b - pass_a``.
        ci_low: lower end of the interval of ``estimate``; None without one.
        ci_high: upper end.
        p_holm: p adjusted for the contrasts of one reference; None without one.
        outcome: what the rule says; None if there is no interval.
    """

    arm: Kind
    reference: Reference
    k: int
    a: str
    b: str
    pass_a: float
    pass_b: float
    estimate: float
    ci_low: float | None
    ci_high: float | None
    p_holm: float | None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class NoArm:
    """No condition of an arm is among those judged."""

    arm: Kind


@dataclass(frozen=True)
class ArmTooFewProblems:
    """An arm has too few problems to select on some and judge on others."""

    arm: Kind
    problems: int


@dataclass(frozen=True)
class ArmTooFewRollouts:
    """No condition of an arm has enough rollouts for these k."""

    arm: Kind
    ks: tuple[int, ...]


@dataclass(frozen=True)
class NoNull:
    """The task defines no random guessing for all of the problems."""


@dataclass(frozen=True)
class NoSigma0:
    """Sigma 0 was not sampled on all of the problems."""


Missing: TypeAlias = NoArm | ArmTooFewProblems | ArmTooFewRollouts | NoNull | NoSigma0
"""Why a contrast is missing."""


@dataclass(frozen=True)
class Verdict:
    """Outcomes of the pre-declared contrasts.

    Attributes:
        primary: best temperature against best sigma at the primary k.
        against_null: the best of each arm against guessing, at the same k.
        against_greedy: the best of each arm at k = 1 against the unperturbed model, greedily decoded.
        against_zero: the best sigma against sigma = 0, at the same k.
        missing: contrasts that could not be judged and why.
    """

    primary: tuple[ContrastResult, ...]
    against_null: tuple[ContrastResult, ...]
    against_greedy: tuple[ContrastResult, ...]
    against_zero: tuple[ContrastResult, ...]
    missing: tuple[Missing, ...]


def outcome_of(
    estimate: float, ci_low: float | None, ci_high: float | None, p_holm: float | None, level: float = 0.95
) -> Outcome | None:
    """The rule for one contrast; None without an interval.

    Args:
        estimate: B minus A.
        ci_low: lower end of the interval.
        ci_high: upper end.
        p_holm: p adjusted for the contrasts that were declared together.
        level: the share of intervals that should cover.
    """
    if ci_low is None or ci_high is None or p_holm is None:
        return None
    if p_holm <= 1 - level and estimate != 0:
        return "B ahead" if estimate > 0 else "A ahead"
    if ci_low > -MARGIN and ci_high < MARGIN:
        return "alike"
    return "not told apart"
