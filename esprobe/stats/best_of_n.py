"""The best of n random perturbations, selected by training fitness and judged on other problems.

All are expectations over which n of the N drawn perturbations were seen, computed exactly from the ranking: no
subset is drawn at random.
"""

import math

import numpy as np
from numpy.typing import NDArray


def chance_of_best(fitness: NDArray[np.float64], n: float) -> NDArray[np.float64]:
    """(N,) the chance of each perturbation to be the fittest of n drawn without replacement from all N.

    The r-th smallest is the largest of n with chance C(r-1, n-1) / C(N, n), the order statistics of a finite
    population (Arnold, Balakrishnan & Nagaraja 2008, section 3.7). Equal fitnesses share their chances equally, as if
    the winner among them were drawn by lot. Between whole n the chances are interpolated: n = 2.4 sees three
    perturbations with chance 0.4, else two.

    Args:
        fitness: (N,) mean reward of each perturbation on the training problems.
        n: perturbations seen.

    Raises:
        ValueError: not 1 <= n <= N.
    """
    count = len(fitness)
    if not 1 <= n <= count:
        raise ValueError(f"n must be from 1 to the {count} perturbations, got {n:g}")
    below, part = math.floor(n), n - math.floor(n)
    not_above = _chance_that_all_are_among_lowest(count, below)
    if part:
        not_above = (1 - part) * not_above + part * _chance_that_all_are_among_lowest(count, below + 1)
    _, place, equal = np.unique(fitness, return_inverse=True, return_counts=True)
    last = np.cumsum(equal)
    chances: NDArray[np.float64] = ((not_above[last] - not_above[last - equal]) / equal)[place]
    return chances


def variance_between(correct: NDArray[np.bool_]) -> float:
    """How much the accuracy of perturbations varies beyond what their finitely many problems make it vary.

    The component of variance of perturbations in a table of problems x perturbations with one verdict a cell (Searle,
    Casella & McCulloch 1992, section 4.3): the mean square of residuals divided by P is subtracted from the variance
    of the N accuracies. 0 where that is negative, or there are fewer than two of either.

    Args:
        correct: (P, N) verdicts on the test problems.
    """
    problems, count = correct.shape
    if problems < 2 or count < 2:
        return 0.0
    by_problem, by_seed = correct.mean(axis=1), correct.mean(axis=0)
    whole = float(correct.mean())
    # Verdicts are 0 or 1, so their sum of squares is their sum; no table of residuals is needed.
    squares = problems * count * (whole + whole**2)
    squares -= count * float((by_problem**2).sum()) + problems * float((by_seed**2).sum())
    residual = max(0.0, squares) / ((problems - 1) * (count - 1))
    return float(max(0.0, by_seed.var(ddof=1) - residual / problems))


def _chance_that_all_are_among_lowest(count: int, n: int) -> NDArray[np.float64]:
    """(count + 1,) C(r, n) / C(count, n) for r = 0..count."""
    logs = np.array([math.lgamma(i + 1) for i in range(count + 1)])
    chances = np.zeros(count + 1)
    r = np.arange(n, count + 1)
    chances[n:] = np.exp(logs[r] - logs[r - n] + logs[count - n] - logs[count])
    chances[count] = 1.0
    return chances
