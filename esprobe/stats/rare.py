"""Lower confidence limits of estimates with few successes.

On a scale on which errors are symmetric, one success among thousands of rollouts looks like better evidence than it
is: the normal interval ends at 14 % of the estimate, while the exact interval of a Poisson rate with one event ends at
2.5 % of it.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from esprobe.stats.outcomes import Outcomes

if TYPE_CHECKING:
    from esprobe.spec import Kind

FEW = 20
"""Successes from which on the two intervals hardly differ: their lower ends are 0.61 and 0.65 of the estimate."""

_LEAST = 1e-13
"""Smallest tail probability distinguished from 0."""

_STEPS = 50
"""Bisections: enough for an error of 1e-14."""


def independent_successes(successes: float, trials: int) -> float:
    """The number of Poisson events equivalent to s successes in n independent trials: s n / (n - s).

    Their relative variance, 1/s - 1/n, is that of the binomial; where all trials succeed nothing is rare.
    """
    return math.inf if successes >= trials else successes * trials / (trials - successes)


def successes_behind(outcomes: Outcomes, kind: "Kind", *, these_problems: bool) -> float:
    """Independent successes behind a pass@k, counted in the units that its target samples again.

    Solved problems, for new problems; perturbations that solved any, for shared perturbations; single rollouts, for a
    fixed set of problems with independent rollouts.
    """
    counts = [math.inf]
    if not these_problems:
        counts.append(independent_successes(int(np.count_nonzero(outcomes.c)), outcomes.problems))
    if kind.shares_noise:
        ever = int(np.count_nonzero(outcomes.correct.any(axis=0)))
        counts.append(independent_successes(ever, int(np.count_nonzero(outcomes.stored.any(axis=0)))))
    elif these_problems:
        # Rollouts of a problem that is always solved do not vary.
        variance = float((outcomes.c * (outcomes.n - outcomes.c) / outcomes.n).sum())
        counts.append(float(outcomes.c.sum()) ** 2 / variance if variance > 0 else math.inf)
    return min(counts)


def lower_share(successes: float, alpha: float) -> float:
    """The lower end of the exact interval for a Poisson rate (Garwood 1936), as a share of the successes seen.

    The rate at which as many or more occur with probability alpha / 2; 1 from ``FEW`` successes on, where the
    ordinary interval is accurate enough.

    Args:
        successes: at least 1; rounded down.
        alpha: the share of intervals that may miss, on both sides together.
    """
    if successes >= FEW:
        return 1.0
    seen = int(successes)
    wanted = max(alpha / 2, _LEAST)
    low, high = 0.0, float(seen)
    for _ in range(_STEPS):
        rate = (low + high) / 2
        term = fewer = math.exp(-rate)
        for i in range(1, seen):
            term *= rate / i
            fewer += term
        low, high = (rate, high) if 1 - fewer < wanted else (low, rate)
    return low / seen
