"""Nominal 95 % intervals cover about 95 % where perturbations are shared by all problems, and others do not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from esprobe.spec import Kind
from esprobe.stats.difference import paired_difference
from esprobe.stats.intervals import intervals
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.side import Side, known_side, sampled_side
from tests.stats.crossed import Design, measure


def test_intervals_hold_where_those_by_problem_fail():
    """400 runs: the standard error of a coverage of 0.95 is 0.011; the seed is fixed, so it cannot flicker."""
    found = measure(Design(problems=200, samples=32), reps=400, seed=7)
    assert found.ks[-1] == 16
    assert ((found.one_arm >= 0.91) & (found.one_arm <= 0.97)).all(), found
    assert ((found.paired >= 0.91) & (found.paired <= 0.97)).all(), found
    assert 0.91 <= found.band <= 0.98, found
    assert (found.paired_by_problem < 0.85).all(), found
    assert found.by_problem[0] < 0.85, found


@pytest.mark.parametrize(
    ("problems", "a", "b", "samples"), [(500, 0.002, 0.002, 1), (500, 0.002, 0.002, 16), (2000, 0.001, 0.0005, 16)]
)
def test_a_baseline_that_solves_next_to_nothing_is_no_certain_zero(
    problems: int, a: float, b: float, samples: int
) -> None:
    """A greedy side that solves none of these problems may solve others like them: a base model's usual case."""
    random = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        greedy = random.random((problems, 1)) < a
        other = random.random((problems, samples)) < b
        sides = [_side(greedy, Kind.GREEDY), _side(other, Kind.GREEDY if samples == 1 else Kind.TEMPERATURE)]
        (point,) = paired_difference(*sides).points
        # No interval where neither solved anything: nothing was told that could be false.
        covered += point.ci_low is None or point.ci_high is None or point.ci_low <= b - a <= point.ci_high
    assert covered >= 0.93 * 200


@pytest.mark.parametrize("expected", [0.13, 0.45, 2])
@pytest.mark.parametrize("kind", [Kind.TEMPERATURE, Kind.PERTURBATION])
def test_a_handful_of_successes_is_not_trusted_too_far(expected: float, kind: Kind) -> None:
    """All rollouts alike: with 0.13 successes expected, one is met in 12 % of runs and must not exclude the truth."""
    random = np.random.default_rng(12)
    problems, samples, k = 200, 32, 16
    chance = expected / (problems * samples)
    truth = 1 - (1 - chance) ** k
    covered = 0
    for _ in range(200):
        correct = random.random((problems, samples)) < chance
        (found,) = intervals(Outcomes(correct, np.ones_like(correct)), (k,), kind)
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
    assert covered >= 0.95 * 200


@pytest.mark.parametrize(("problems", "samples", "k", "chance"), [(200, 32, 1, 2e-5), (60, 1, 1, 0.002)])
def test_what_guesses_is_seldom_told_to_be_ahead_of_guessing(
    problems: int, samples: int, k: int, chance: float
) -> None:
    random = np.random.default_rng(13)
    ahead = 0
    for _ in range(400):
        correct = random.random((problems, samples)) < chance
        drawn = sampled_side(Outcomes(correct, np.ones_like(correct)), np.arange(samples), Kind.TEMPERATURE, (k,))
        (point,) = paired_difference(known_side(np.full(problems, chance), (k,)), drawn).points
        ahead += point.p is not None and point.p <= 0.05 and point.estimate > 0
    assert ahead <= 0.03 * 400  # one side of a two-sided test: 2.5 %


def _side(correct: NDArray[np.bool_], kind: Kind) -> Side:
    return sampled_side(Outcomes(correct, np.ones_like(correct)), np.arange(correct.shape[1]), kind, (1,))


def test_one_solved_against_none_is_not_told_apart():
    none, one = np.zeros((500, 1), np.bool_), np.zeros((500, 1), np.bool_)
    one[3] = True
    (point,) = paired_difference(_side(none, Kind.GREEDY), _side(one, Kind.GREEDY)).points
    assert point.p is not None and point.p > 0.3
    assert point.ci_low is not None and point.ci_low < 0
