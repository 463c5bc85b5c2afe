"""Majority vote against every subset, by hand, and without anybody who votes."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from esprobe.spec import Kind
from esprobe.stats.votes import NO_VALUE, vote_curve


def every_subset(codes, correct, k):
    """Exact maj@k of one problem: over all subsets, a tie counts in part."""
    right = {int(c) for c, x in zip(codes, correct, strict=True) if x}
    total = 0.0
    subsets = list(combinations(range(len(codes)), k))
    for subset in subsets:
        votes = Counter(int(codes[i]) for i in subset if codes[i] != NO_VALUE)
        if votes:
            leaders = [code for code, n in votes.items() if n == max(votes.values())]
            total += sum(code in right for code in leaders) / len(leaders)
    return total / len(subsets)


def test_agrees_with_every_subset():
    """256 random groups of 4 of 12: four standard errors of the mean over 30 problems are below 0.03."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 3, (30, 12)).astype(np.int32)
    correct = codes == 1
    point = next(p for p in vote_curve(codes, correct, Kind.TEMPERATURE) if p.k == 4)
    exact = np.mean([every_subset(c, x, 4) for c, x in zip(codes, correct, strict=True)])
    assert point.estimate == pytest.approx(exact, abs=0.03)
    assert point.groups == 3 and point.subsets >= 200
    assert point.ci_low < point.estimate < point.ci_high


def test_all_rollouts_are_one_vote_with_ties_in_part():
    codes = np.array([[0, 0, 1], [0, 1, NO_VALUE], [NO_VALUE] * 3, [2, 2, 2]], np.int32)
    correct = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]], bool)
    last = vote_curve(codes, correct, Kind.TEMPERATURE)[-1]
    assert (last.k, last.estimate, last.groups) == (3, (1 + 0.5 + 0 + 0) / 4, 1)
    assert last.ci_low is None


def test_one_vote_is_the_mean_of_the_verdicts():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 5, (20, 16)).astype(np.int32)
    first = vote_curve(codes, codes == 0, Kind.PERTURBATION)[0]
    assert (first.k, first.estimate) == (1, pytest.approx((codes == 0).mean()))


def test_right_rollouts_without_their_answers_are_no_vote():
    """As where somebody else's rollouts come with verdicts alone: nobody can be outvoted."""
    codes = np.full((4, 8), NO_VALUE, np.int32)
    assert vote_curve(codes, np.ones((4, 8), np.bool_), Kind.IMPORTED) == ()
    assert vote_curve(codes, np.zeros((4, 8), np.bool_), Kind.TEMPERATURE)[0].estimate == 0


def test_voters_who_share_perturbations_make_wider_intervals():
    rng = np.random.default_rng(2)
    good = rng.random(32) < 0.5
    codes = np.where(rng.random((200, 32)) < np.where(good, 0.9, 0.2), 0, 1 + rng.integers(0, 3, (200, 32)))
    codes = codes.astype(np.int32)
    alone, shared = (
        next(p for p in vote_curve(codes, codes == 0, kind) if p.k == 4)
        for kind in (Kind.TEMPERATURE, Kind.PERTURBATION)
    )
    assert shared.ci_high - shared.ci_low > 2 * (alone.ci_high - alone.ci_low)


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (3, 1)])
def test_nobody_to_outvote(shape):
    assert vote_curve(np.zeros(shape, np.int32), np.zeros(shape, bool), Kind.TEMPERATURE) == ()
