"""One side of a paired comparison: its pass@k for each problem, and how its rollouts and perturbations vary that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esprobe.spec import Kind
from esprobe.stats.curve import known_passk
from esprobe.stats.intervals import leave_one_seed_out, left_out
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.passk import pass_at_k_curve
from esprobe.stats.rare import independent_successes, successes_behind


@dataclass(frozen=True, eq=False)
class Side:
    """pass@k of one side, over the problems that both sides have, in the same order.

    Attributes:
        kind: how rollouts were sampled; None for a null, whose chances are computed and not estimated.
        n_min: the fewest rollouts of any problem; 1 for a fixed side.
        ks: K numbers of rollouts.
        values: (P, K) pass@k. A greedy answer repeated is the same answer, so its pass@k is that of k = 1.
        swing: (P, K) how far one rollout's verdict moves it, at k or at n - 1 if k = n; 0 for a fixed side.
        shifts: (S, K) how leaving out one seed moves the mean; no rows unless perturbations are shared.
        seeds: (S,) the seeds of those rows, ascending.
        outcomes: the verdicts; None for a null.
        columns: (S,) their columns in ``outcomes``.
    """

    kind: Kind | None
    n_min: int
    ks: tuple[int, ...]
    values: NDArray[np.float64]
    swing: NDArray[np.float64]
    shifts: NDArray[np.float64]
    seeds: NDArray[np.int64]
    outcomes: Outcomes | None
    columns: NDArray[np.int64]

    @property
    def fixed(self) -> bool:
        """Whether sampling the same problems again would give the same values."""
        return self.kind is None or not self.kind.is_sampled

    @property
    def shares_noise(self) -> bool:
        """Whether one perturbation is shared by all problems."""
        return self.kind is not None and self.kind.shares_noise

    @property
    def clusters(self) -> int:
        """Independent trials of this side, for both targets.

        An interval of one k counts floor(n/k) trials of a problem that is itself the target (``intervals``). Here one
        number serves all k, as a band has one number of degrees of freedom, and fewer make no interval narrower.
        """
        problems = len(self.values)
        return min(problems, self.n_min) if self.shares_noise else problems

    def successes(self, *, these_problems: bool) -> float:
        """Independent successes behind its values; of a null, the problems at which guessing can succeed."""
        if self.kind is None or self.outcomes is None:
            return independent_successes(int(np.count_nonzero(self.values[:, 0])), len(self.values))
        return successes_behind(self.outcomes, self.kind, these_problems=these_problems)


def sampled_side(outcomes: Outcomes, seeds: NDArray[np.int64], kind: Kind, ks: Sequence[int]) -> Side:
    """The side of a condition.

    Args:
        outcomes: its verdicts over the common problems, at least one.
        seeds: (S,) the seeds of their columns.
        kind: how rollouts were sampled.
        ks: for a greedy baseline any; else up to the fewest rollouts of any problem.

    Raises:
        ValueError: there is no problem, or a k is above the fewest rollouts of any problem.
    """
    none = np.zeros((0, len(ks)))
    if not kind.is_sampled:
        once = pass_at_k_curve(outcomes.n, outcomes.c, [1])
        values = np.repeat(once, len(ks), axis=1)
        empty = np.zeros(0, np.int64)
        return Side(kind, 1, tuple(ks), values, np.zeros_like(values), none, empty, outcomes, empty)
    values = pass_at_k_curve(outcomes.n, outcomes.c, ks)
    swing, shifts = np.zeros_like(values), none
    columns = np.zeros(0, np.int64)
    if outcomes.n_min > 1:
        usable = [min(k, outcomes.n_min - 1) for k in ks]
        right, wrong = left_out(outcomes, usable)
        swing = right - wrong
        if kind.shares_noise:
            columns = np.flatnonzero(outcomes.stored.any(axis=0))
            shifts = leave_one_seed_out(outcomes, usable)
    return Side(kind, outcomes.n_min, tuple(ks), values, swing, shifts, seeds[columns], outcomes, columns)


def known_side(chances: NDArray[np.float64], ks: Sequence[int], first: NDArray[np.float64] | None = None) -> Side:
    """The side of a null, from each problem's chance (P,) that one draw is correct; see ``known_passk``."""
    values = known_passk(chances, ks, first)
    empty = np.zeros(0, np.int64)
    return Side(None, 1, tuple(ks), values, np.zeros_like(values), np.zeros((0, len(ks))), empty, None, empty)


def rollout_covariance(side: Side) -> NDArray[np.float64]:
    """(K, K) covariance from the rollouts within each problem: V_PS on the diagonal (see ``variance_parts``)."""
    if side.fixed or side.outcomes is None:
        return np.zeros((len(side.ks),) * 2)
    n, c = side.outcomes.n, side.outcomes.c
    weight = (n - 1) / n * c * (n - c) / n
    covariance: NDArray[np.float64] = (side.swing * weight[:, None]).T @ side.swing / len(side.values) ** 2
    return covariance


def seed_covariance(side: Side) -> NDArray[np.float64]:
    """(K, K) covariance from the shared perturbations: V_S on the diagonal; 0 if none are shared."""
    return _spread_of(_scaled(side))


def shared_seed_covariance(a: Side, b: Side) -> NDArray[np.float64]:
    """(K, K) of b - a, where one seed names the same noise on both sides and so moves both at once."""
    seeds = np.union1d(a.seeds, b.seeds)
    moved = np.zeros((len(seeds), len(a.ks)))
    moved[np.searchsorted(seeds, b.seeds)] += _scaled(b)
    moved[np.searchsorted(seeds, a.seeds)] -= _scaled(a)
    return _spread_of(moved)


def shared_rollout_covariance(a: Side, b: Side) -> NDArray[np.float64]:
    """(K, K) of b - a within problems, where the rollouts of one seed belong together on both sides."""
    assert a.outcomes is not None and b.outcomes is not None
    _, of_a, of_b = np.intersect1d(a.seeds, b.seeds, assume_unique=True, return_indices=True)
    at_a, at_b = a.columns[of_a], b.columns[of_b]
    both = a.outcomes.stored[:, at_a] & b.outcomes.stored[:, at_b]
    right_a, right_b = a.outcomes.correct[:, at_a] & both, b.outcomes.correct[:, at_b] & both
    m = np.maximum(np.count_nonzero(both, axis=1), 1)
    together = np.count_nonzero(right_a & right_b, axis=1)
    expected = np.count_nonzero(right_a, axis=1) * np.count_nonzero(right_b, axis=1) / m
    weight = (m - 1) / m * (together - expected)
    cross = (a.swing * weight[:, None]).T @ b.swing / len(a.values) ** 2
    covariance: NDArray[np.float64] = rollout_covariance(a) + rollout_covariance(b) - cross - cross.T
    return covariance


def _scaled(side: Side) -> NDArray[np.float64]:
    count = max(len(side.shifts), 1)
    scaled: NDArray[np.float64] = side.shifts * np.sqrt((count - 1) / count)
    return scaled


def _spread_of(shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(shifts):
        return np.zeros((shifts.shape[1],) * 2)
    centred = shifts - shifts.mean(axis=0)
    covariance: NDArray[np.float64] = centred.T @ centred
    return covariance
