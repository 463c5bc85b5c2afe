"""Majority vote over the values that rollouts arrive at."""

from dataclasses import dataclass


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
