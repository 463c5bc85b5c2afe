"""Training against selection: intervals of accuracies and of their difference, and the rules of the report's sentences.

docs/statistics.md states the rules, which were fixed before any data were seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.best_of_n import chance_of_best, variance_between
from esprobe.stats.intervals import Interval, limits, spread
from esprobe.stats.rare import independent_successes
from esprobe.stats.student import t_quantile
from esprobe.stats.verdict import MARGIN

Outcome = Literal["training adds more", "selection suffices", "cannot be told"]
"""Of training against selection at equal cost."""

Fit = Literal["both rose", "overfitting", "held-out cannot be told", "training did not rise"]
"""Of training accuracy against held-out accuracy."""


class Part(NamedTuple):
    """A part of the variance of a mean over problems, besides that of the problems.

    Attributes:
        variance: of the mean.
        df: degrees of freedom of its estimate.
    """

    variance: float
    df: int


@dataclass(frozen=True, eq=False)
class Arm:
    """An accuracy to compare, problem by problem.

    Attributes:
        values: (P,) expected accuracy on each test problem.
        parts: what else varies its mean: perturbations, or runs.
        trials: independent trials if no problem is solved, or every one.
    """

    values: NDArray[np.float64]
    parts: tuple[Part, ...]
    trials: int

    @property
    def estimate(self) -> float:
        """Mean over problems."""
        return float(self.values.mean())


@dataclass(frozen=True)
class Estimate:
    """An accuracy, or a difference of two, with its interval.

    Attributes:
        estimate: 0..1, or of a difference the second minus the first.
        ci_low: lower end of the interval; None without one.
        ci_high: upper end.
    """

    estimate: float
    ci_low: float | None = None
    ci_high: float | None = None


def trained_arm(solved: NDArray[np.bool_]) -> Arm:
    """The accuracy of trained models, decoded greedily.

    Between runs the variance of the mean is s^2 / R of their accuracies. It contains the runs' own luck on these
    problems, which the variance between problems contains too, so that the sum is a little too large; with few runs
    the two cannot be told apart. The variance of a single run is unknown, and left out.

    Args:
        solved: (P, R) verdicts, one column for each run.
    """
    problems, runs = solved.shape
    by_run = solved.mean(axis=0)
    parts = (Part(float(by_run.var(ddof=1)) / runs, runs - 1),) if runs > 1 else ()
    return Arm(solved.mean(axis=1), parts, problems)


def selected_arm(fitness: NDArray[np.float64], correct: NDArray[np.bool_], n: float) -> Arm:
    """The accuracy of the best of n perturbations.

    With w_s the chance that perturbation s is the best of n, and tau^2 the variance between perturbations
    (``best_of_n.variance_between``), the draw of perturbations adds tau^2 sum w_s^2 to the variance of the mean. That
    is exact where fitness and accuracy are unrelated and an upper bound where they are related, because then the best
    of n differ less among each other. A jackknife over perturbations would rest on the distance between the best two
    where n is near N.

    Args:
        fitness: (N,) mean reward on the training problems.
        correct: (P, N) verdicts on the test problems.
        n: perturbations seen, 1 to N.
    """
    problems, count = correct.shape
    chances = chance_of_best(fitness, n)
    part = Part(variance_between(correct) * float((chances**2).sum()), count - 1)
    return Arm(correct @ chances, (part,) if count > 1 else (), min(problems, count))


def accuracy(arm: Arm, level: float = 0.95) -> Estimate:
    """An accuracy with its interval for new problems (random set); see ``intervals.limits``."""
    if len(arm.values) < 2:
        return Estimate(arm.estimate)
    around = _limits(arm, *_variance([arm.values], arm.parts), level)
    return Estimate(arm.estimate, around.low, around.high)


def gap(first: Arm, second: Arm, level: float = 0.95) -> Estimate:
    """The second accuracy minus the first, over the same problems in the same order.

    Its variance is s^2(d_i) / P plus the other parts of both sides; the interval is recovered from those of the two
    sides, as in ``difference``. Degrees of freedom are Satterthwaite's (1946).
    """
    estimate = second.estimate - first.estimate
    if len(first.values) < 2:
        return Estimate(estimate)
    variance, df = _variance([second.values - first.values], (*first.parts, *second.parts))
    of_sides = [_variance([arm.values], arm.parts)[0] for arm in (first, second)]
    ends = [_ends(arm, own, df, level) for arm, own in zip((first, second), of_sides, strict=True)]
    (low_a, high_a), (low_b, high_b) = ends
    # How much less the difference varies than two independent sides would.
    shrunk = math.sqrt(variance / sum(of_sides)) if sum(of_sides) > 0 else 1.0
    down = shrunk * math.hypot(second.estimate - low_b, high_a - first.estimate)
    up = shrunk * math.hypot(high_b - second.estimate, first.estimate - low_a)
    if down == up == 0:
        return Estimate(estimate)
    return Estimate(estimate, max(-1.0, estimate - down), min(1.0, estimate + up))


def outcome_of(difference: Estimate) -> Outcome:
    """The rule for training minus selection at equal cost."""
    if difference.ci_low is None or difference.ci_high is None:
        return "cannot be told"
    if difference.ci_low > 0:
        return "training adds more"
    return "selection suffices" if difference.ci_high < MARGIN else "cannot be told"


def rise(before: Sequence[float], after: Sequence[float], level: float = 0.95) -> Estimate:
    """How much the mean accuracy of a population rose on fixed training problems, with Welch's interval over members.

    Args:
        before: accuracy of each member of the first iteration, at least two.
        after: of the last iteration.
        level: the share of intervals that should cover.
    """
    groups = [np.array(before), np.array(after)]
    estimate = float(groups[1].mean() - groups[0].mean())
    parts = [Part(float(group.var(ddof=1)) / len(group), len(group) - 1) for group in groups]
    variance, df = _variance([], parts)
    half = t_quantile((1 + level) / 2, df) * math.sqrt(variance)
    return Estimate(estimate, estimate - half, estimate + half)


def fit_of(training: Estimate, held_out: Estimate) -> Fit | None:
    """The rule for overfitting; None without both intervals.

    Args:
        training: rise of the population's accuracy on the training problems.
        held_out: accuracy of the trained model minus that of its base, on the test problems.
    """
    if training.ci_low is None or held_out.ci_low is None or held_out.ci_high is None:
        return None
    if training.ci_low <= 0:
        return "training did not rise"
    if held_out.ci_low > 0:
        return "both rose"
    return "overfitting" if held_out.ci_high < training.estimate else "held-out cannot be told"


def _variance(values: Sequence[NDArray[np.float64]], parts: Sequence[Part]) -> tuple[float, int]:
    """A sum of variances and its degrees of freedom, rounded down: (sum V)^2 / sum V^2/df."""
    of_problems = [Part(float(spread(v[:, None])[0]), len(v) - 1) for v in values]
    every = [*of_problems, *parts]
    total = sum(part.variance for part in every)
    if total == 0:
        return 0.0, min(part.df for part in every)
    df = total**2 / sum(part.variance**2 / part.df for part in every)
    return total, max(1, int(df + 1e-9))  # a whole number may come out a little smaller


def _limits(arm: Arm, variance: float, df: int, level: float) -> Interval:
    # Equal values of v problems count as v successes, and unequal ones as fewer (Kish's effective number).
    solved = float(arm.values.sum()) ** 2 / float((arm.values**2).sum()) if arm.values.any() else 0.0
    return limits(
        arm.estimate,
        float((1 - arm.values).sum()),
        variance,
        arm.trials,
        t_quantile((1 + level) / 2, df),
        1 - level,
        independent_successes(solved, len(arm.values)),
    )


def _ends(arm: Arm, variance: float, df: int, level: float) -> tuple[float, float]:
    """The interval of one side; its estimate alone where nothing varies."""
    around = _limits(arm, variance, df, level)
    if around.low is None or around.high is None:
        return arm.estimate, arm.estimate
    return around.low, around.high
