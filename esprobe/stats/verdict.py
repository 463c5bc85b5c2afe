"""The verdict: a rule that was fixed before any data were seen, applied to intervals.

docs/statistics.md states the rule. Nothing here looks at a number that was also used to choose.
"""

from dataclasses import dataclass
from typing import Literal

PRIMARY_KS = (1, 16, 256)
MARGIN = 0.02

Outcome = Literal["B ahead", "A ahead", "alike", "not told apart"]
"""Interval above 0; below 0; inside +-MARGIN; anything else."""


@dataclass(frozen=True)
class Finding:
    """One pre-declared contrast, on the problems that no choice has seen.

    Attributes:
        question: which contrast, such as "best sigma against best temperature".
        k: the k.
        a: label of A.
        b: label of B.
        estimate: pass@k of B minus pass@k of A.
        ci_low: lower end of the interval; None without one.
        ci_high: upper end.
        p_holm: adjusted for the primary contrasts; None outside them or without one.
        outcome: what the rule says; None if there is no interval.
        sentence: the same in words.
    """

    question: str
    k: int
    a: str
    b: str
    estimate: float
    ci_low: float | None
    ci_high: float | None
    p_holm: float | None
    outcome: Outcome | None
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What the data say about the question, in words.

    Attributes:
        summary: one or two sentences.
        primary: best temperature against best sigma at the primary k.
        against_null: the best of each arm against guessing, at the same k.
        against_greedy: the best of each arm at k = 1 against the unperturbed model, greedily decoded.
        against_zero: the best sigma against sigma = 0, at the same k.
        missing: what could not be judged and why, in words.
    """

    summary: str
    primary: tuple[Finding, ...]
    against_null: tuple[Finding, ...]
    against_greedy: tuple[Finding, ...]
    against_zero: tuple[Finding, ...]
    missing: tuple[str, ...]


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
