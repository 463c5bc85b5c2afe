"""Majority vote of the K fittest of n random perturbations, on problems that they were not selected on."""

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.votes import NO_VALUE, Ballots, ballots_of, voted

VOTERS = (5, 10, 25)
"""Numbers of perturbations that vote: those of the published studies that fit a small n."""

_SUBSETS = 200
_SEED = 20261128


class BestVoting:
    """Votes among the fittest of n of N perturbations."""

    def __init__(self, fitness: NDArray[np.float64], codes: NDArray[np.int32], correct: NDArray[np.bool_]) -> None:
        """Number the answers.

        Args:
            fitness: (N,) mean reward of each perturbation on the training problems.
            codes: (P, N) a number for each answer on the test problems, equal within a problem for equal values;
                ``votes.NO_VALUE`` without one.
            correct: (P, N) the verdicts.

        Raises:
            ValueError: a right answer has no value: answers were not recorded.
        """
        if (correct & (codes == NO_VALUE)).any():
            raise ValueError("a right answer has no value, so there is no vote")
        self._fitness = fitness
        self._ballots: Ballots = ballots_of(codes, correct)

    def accuracy(self, n: int, voters: int) -> NDArray[np.float64]:
        """(P,) chance that the commonest answer of the ``voters`` fittest of n is right.

        Rollouts without a value do not vote, and a tie counts as the share of right values. Mean over 200 random
        subsets of n, the same for every problem (fixed seed); with n = N and no equal fitnesses there is one.

        Raises:
            ValueError: not 1 <= voters <= n <= N.
        """
        count = len(self._fitness)
        if not 1 <= voters <= n <= count:
            raise ValueError(f"need 1 <= voters <= n <= {count}, got {voters} voters and n = {n}")
        rng = np.random.default_rng((_SEED, n, voters))
        cache: dict[bytes, NDArray[np.float64]] = {}
        total = np.zeros(len(self._ballots.first))
        for _ in range(_SUBSETS):
            seen = rng.permutation(count)[:n]  # in random order, so that a stable sort breaks ties by lot
            best = np.sort(seen[np.argsort(-self._fitness[seen], kind="stable")[:voters]])
            key = best.tobytes()
            if key not in cache:
                cache[key] = voted(self._ballots, best)
            total += cache[key]
        return total / _SUBSETS
