"""Majority vote of the K fittest of n random perturbations, on problems that they were not selected on."""

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.training_contrast import Arm, Part
from esprobe.stats.votes import NO_VALUE, Ballots, ballots_of, voted

VOTERS = (5, 10, 25)
"""Numbers of perturbations that vote: those of the published studies that fit a small n."""

_SUBSETS = 200
_SPLITS = 50
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
        self._variances: dict[int, float] = {}

    def arm(self, n: int, voters: int) -> Arm:
        """The accuracy of the vote of the ``voters`` fittest of n, with what the draw of perturbations adds.

        Rollouts without a value do not vote, and a tie counts as the share of right values. Mean over 200 random
        subsets of n, the same for every problem (fixed seed); with n = N and no equal fitnesses there is one.

        Raises:
            ValueError: not 1 <= voters <= n <= N, or there are too few perturbations for a variance.
        """
        count = len(self._fitness)
        if not 1 <= voters <= n <= count or 2 * voters > count:
            raise ValueError(f"need 1 <= voters <= n <= {count} and voters <= {count // 2}, got {voters} and n = {n}")
        rng = np.random.default_rng((_SEED, n, voters))
        cast: dict[bytes, NDArray[np.float64]] = {}  # of n = N there is one set of voters, but for ties
        total = np.zeros(len(self._ballots.first))
        for _ in range(_SUBSETS):
            best = self._fittest(rng.permutation(count)[:n], voters)
            if best.tobytes() not in cast:
                cast[best.tobytes()] = voted(self._ballots, best)
            total += cast[best.tobytes()]
        values = total / _SUBSETS
        return Arm(values, (Part(self._variance(voters), count // 2 - 1),), min(len(values), count))

    def _variance(self, voters: int) -> float:
        """What the draw of perturbations adds to the variance of the mean, by random halves of them.

        Votes of the fittest of two disjoint halves differ by two draws of N/2 perturbations, and by their luck on these
        problems, which the spread between problems has already: half of the mean square of the differences, less that.
        For n of N/2 and more it is an upper bound, because more perturbations vary the fittest of them less.
        """
        if voters not in self._variances:
            rng = np.random.default_rng((_SEED, voters))
            half = len(self._fitness) // 2
            found = []
            for _ in range(_SPLITS):
                order = rng.permutation(len(self._fitness))
                one, other = (
                    voted(self._ballots, self._fittest(seen, voters)) for seen in (order[:half], order[half:])
                )
                apart = one - other
                found.append(apart.mean() ** 2 - apart.var(ddof=1) / len(apart))
            self._variances[voters] = max(0.0, float(np.mean(found)) / 2)
        return self._variances[voters]

    def _fittest(self, seen: NDArray[np.int64], voters: int) -> NDArray[np.int64]:
        """The fittest of some perturbations, ascending; those come in random order, so that ties break by lot."""
        return np.sort(seen[np.argsort(-self._fitness[seen], kind="stable")[:voters]])
