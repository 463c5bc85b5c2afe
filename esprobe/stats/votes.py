"""Majority vote over the answers of rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.intervals import interval

if TYPE_CHECKING:
    from esprobe.spec import Kind

NO_VALUE = -1
"""The code of a rollout without a value, which does not vote."""

SUBSETS = 200
"""Groups of rollouts voted on at each k, at least, unless all of them are one group."""

_FEWEST_GROUPS = 3


@dataclass(frozen=True)
class VotePoint:
    """maj@k: the chance that the commonest value among k rollouts is the right one, averaged over problems.

    Attributes:
        k: rollouts that vote.
        estimate: mean over problems and random groups of k rollouts; a tie counts as the share of right values.
        ci_low: lower end of the interval; None with fewer than three disjoint groups of k.
        ci_high: upper end.
        groups: disjoint groups of k rollouts that the data hold.
        subsets: groups of k that were voted on, over all random partitions.
    """

    k: int
    estimate: float
    ci_low: float | None
    ci_high: float | None
    groups: int
    subsets: int


@dataclass(frozen=True)
class Vote:
    """Majority vote of one condition.

    Attributes:
        points: ascending k; empty if fewer than two rollouts are stored for every problem.
        without_value: share of rollouts that have no value to vote for.
    """

    points: tuple[VotePoint, ...]
    without_value: float


def vote_curve(
    codes: NDArray[np.int32], correct: NDArray[np.bool_], kind: "Kind", level: float = 0.95
) -> tuple[VotePoint, ...]:
    """maj@k at powers of four and at n, over random partitions of the seeds into groups of k.

    Groups of one partition have no rollout in common, so the variance is estimated from them as from a two-way table
    of problems and groups; further partitions only reduce the noise of the estimate.

    No points for fewer than two rollouts, and none where a right rollout has no value: then answers were not recorded.

    Args:
        codes: (P, S) a number for each rollout's value, equal within a problem for equal values; ``NO_VALUE``
            without one. Seeds that not every problem has must be left out.
        correct: (P, S) the verdicts.
        kind: how rollouts were sampled.
        level: the share of intervals that should cover.
    """
    problems, seeds = codes.shape
    unknown = codes == NO_VALUE
    if not problems or seeds < 2 or (correct & unknown).any():
        return ()
    ballots = ballots_of(codes, correct)
    rng = np.random.default_rng(20260901)
    ks = sorted({k for k in (4**j for j in range(1, 12)) if k < seeds} | {1, seeds})
    return tuple(_point(ballots, correct, k, kind, level, rng) for k in ks)


@dataclass(frozen=True, eq=False)
class Ballots:
    """Values numbered through all problems, for ``voted``.

    Attributes:
        slots: (S, P) int32 the slot of each rollout; a problem's first slot holds its rollouts without a value.
        first: (P,) each problem's first slot.
        right: (slots,) bool, whether a slot's value is right.
    """

    slots: NDArray[np.int32]
    first: NDArray[np.int64]
    right: NDArray[np.bool_]


def ballots_of(codes: NDArray[np.int32], correct: NDArray[np.bool_]) -> Ballots:
    """The ballots of (P, S) codes of values, as ``vote_curve`` takes them, and their verdicts."""
    slots = np.empty(codes.shape, np.int32)
    first, right = [], []
    used = 0
    for row, (values, verdicts) in enumerate(zip(codes, correct, strict=True)):
        known, ranks = np.unique(np.concatenate([[NO_VALUE], values]), return_inverse=True)
        ranks = ranks[1:]
        slots[row] = used + ranks
        of_row = np.zeros(len(known), np.bool_)
        of_row[ranks[verdicts]] = True
        of_row[0] = False
        first.append(used)
        right.append(of_row)
        used += len(known)
    return Ballots(np.ascontiguousarray(slots.T), np.array(first), np.concatenate(right))


def _point(
    ballots: Ballots,
    correct: NDArray[np.bool_],
    k: int,
    kind: "Kind",
    level: float,
    rng: np.random.Generator,
) -> VotePoint:
    problems, seeds = correct.shape
    groups = seeds // k
    if k == 1:
        scores = correct.astype(np.float64)
        return _vote_point(scores, scores.mean(axis=1), k, seeds, kind, level)
    rounds = 1 if k == seeds else -(-SUBSETS // groups)
    total = np.zeros(problems)
    scores = np.zeros((problems, groups))
    for _ in range(rounds):
        order = rng.permutation(seeds)
        scores = np.stack([voted(ballots, order[g * k : g * k + k]) for g in range(groups)], axis=1)
        total += scores.mean(axis=1)
    return _vote_point(scores, total / rounds, k, rounds * groups, kind, level)


def voted(ballots: Ballots, members: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """(P,) share of the commonest values of one group that are right; 0 if no rollout votes."""
    counts = np.bincount(ballots.slots[members].ravel(), minlength=len(ballots.right))
    counts[ballots.first] = 0
    top = np.maximum.reduceat(counts, ballots.first)
    leading = counts == np.repeat(np.maximum(top, 1), np.diff(ballots.first, append=len(counts)))
    tied = np.add.reduceat(leading, ballots.first, dtype=np.int64)
    right = np.add.reduceat(leading & ballots.right, ballots.first, dtype=np.int64)
    share: NDArray[np.float64] = right / np.maximum(tied, 1)
    return share


def _vote_point(
    scores: NDArray[np.float64],
    means: NDArray[np.float64],
    k: int,
    subsets: int,
    kind: "Kind",
    level: float,
) -> VotePoint:
    """The point of (P, groups) scores of one partition and (P,) means over all partitions."""
    problems, groups = scores.shape
    low = high = None
    if problems > 1 and groups >= _FEWEST_GROUPS:
        between = float(means.var(ddof=1)) / problems
        variance, clusters = between, problems
        if kind.shares_noise:
            by_group = float(scores.mean(axis=0).var(ddof=1)) / groups
            within = float(scores.var(axis=1, ddof=1).sum()) / groups / problems**2
            variance, clusters = max(between + by_group - within, between), min(problems, groups)
        around = interval(means, variance, clusters, level)
        low, high = around.low, around.high
    return VotePoint(k, float(means.mean()), low, high, groups, subsets)
