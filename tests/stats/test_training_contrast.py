"""The best of n by exact order statistics, votes among the best, and the rules for training against selection."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from esprobe.stats.best_of_n import chance_of_best, variance_between
from esprobe.stats.best_voting import BestVoting
from esprobe.stats.training_contrast import (
    Arm,
    Estimate,
    accuracy,
    fit_of,
    gap,
    outcome_of,
    rise,
    selected_arm,
    trained_arm,
)
from esprobe.stats.votes import NO_VALUE
from tests.stats.trained import Design, measure, measure_votes

FITNESS = np.array([0.1, 0.3, 0.3, 0.2, 0.5, 0.3, 0.1])


@pytest.mark.parametrize("n", range(1, 8))
def test_the_chance_to_be_the_best_of_n_is_that_over_all_subsets(n: int) -> None:
    """Ties are broken by lot."""
    chances = np.zeros(len(FITNESS))
    subsets = list(combinations(range(len(FITNESS)), n))
    for subset in subsets:
        best = max(FITNESS[list(subset)])
        winners = [one for one in subset if FITNESS[one] == best]
        chances[winners] += 1 / len(winners) / len(subsets)
    np.testing.assert_allclose(chance_of_best(FITNESS, n), chances, atol=1e-12)


def test_between_whole_n_chances_are_interpolated() -> None:
    np.testing.assert_allclose(
        chance_of_best(FITNESS, 2.4), 0.6 * chance_of_best(FITNESS, 2) + 0.4 * chance_of_best(FITNESS, 3)
    )


@pytest.mark.parametrize("n", [0, 0.5, 7.5, 8])
def test_an_n_beyond_the_perturbations_is_refused(n: float) -> None:
    with pytest.raises(ValueError, match="n must be from 1 to the 7"):
        chance_of_best(FITNESS, n)


def test_many_perturbations_lose_no_precision() -> None:
    chances = chance_of_best(np.arange(5000.0), 2500)
    assert chances.sum() == pytest.approx(1, abs=1e-9)
    assert chances[-1] == pytest.approx(0.5, abs=1e-9)  # n / N


def test_the_variance_between_perturbations_is_that_of_the_table_of_residuals() -> None:
    rng = np.random.default_rng(1)
    correct = rng.random((30, 20)) < np.linspace(0.05, 0.6, 20)
    residual = correct - correct.mean(axis=1, keepdims=True) - correct.mean(axis=0) + correct.mean()
    expected = correct.mean(axis=0).var(ddof=1) - (residual**2).sum() / 29 / 19 / 30
    assert variance_between(correct) == pytest.approx(expected)
    assert variance_between(np.eye(30, 20, dtype=bool)) == 0.0  # all solve as many: less variance than by luck


@pytest.mark.parametrize(("n", "voters"), [(3, 2), (5, 3), (6, 3), (6, 1)])
def test_votes_of_the_best_are_those_over_all_subsets(n: int, voters: int) -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(-1, 4, (8, 6)).astype(np.int32)
    correct = codes == 2
    fitness = rng.permutation(6) / 6
    expected, subsets = np.zeros(8), list(combinations(range(6), n))
    for subset in subsets:
        best = sorted(subset, key=lambda one: -fitness[one])[:voters]
        for row in range(8):
            cast = Counter(int(code) for code in codes[row, best] if code != NO_VALUE)
            leading = [code for code, votes in cast.items() if votes == max(cast.values())]
            expected[row] += (2 in leading) / len(leading) / len(subsets) if leading else 0
    found = BestVoting(fitness, codes, correct).arm(n, voters).values
    np.testing.assert_allclose(found, expected, atol=0.12 if n < 6 else 1e-12)  # 200 random subsets; all 6 are one


def test_right_answers_without_a_value_cannot_vote() -> None:
    with pytest.raises(ValueError, match="no value"):
        BestVoting(np.ones(2), np.full((1, 2), NO_VALUE, np.int32), np.ones((1, 2), bool))


def test_intervals_cover_the_difference_with_and_without_differences_between_perturbations() -> None:
    """The seed is fixed, so it cannot flicker; docs/statistics.md has the table of a thousand runs."""
    for design in (Design(test=200, perturbations=60), Design(test=200, perturbations=60, seed_sd=0.5)):
        found = measure(design, reps=200, seed=8)
        assert ((found.both >= 0.91) & (found.both <= 0.99)).all(), found
    assert found.by_problem[-1] < 0.88, found


def test_intervals_of_votes_cover() -> None:
    design = Design(perturbations=60, test=150, mean=-2.0, problem_sd=1.5, seed_sd=1.0)
    found = measure_votes(design, reps=100, seed=9, voters=(5,))
    assert found.by_problem[0] < 0.85 < 0.91 <= found.both[0], found


def test_several_runs_count_their_spread() -> None:
    solved = np.random.default_rng(4).random((400, 3)) < [0.1, 0.3, 0.5]
    one, all_three = trained_arm(solved[:, 1:2]), trained_arm(solved)
    assert one.parts == ()
    assert all_three.parts[0].variance == pytest.approx(solved.mean(axis=0).var(ddof=1) / 3)
    narrow, wide = accuracy(one), accuracy(all_three)
    assert (
        narrow.ci_low is not None
        and narrow.ci_high is not None
        and wide.ci_low is not None
        and wide.ci_high is not None
    )
    assert wide.ci_high - wide.ci_low > 3 * (narrow.ci_high - narrow.ci_low)


def test_a_gap_is_that_of_the_means_and_turns_with_its_sides() -> None:
    rng = np.random.default_rng(5)
    trained = trained_arm(rng.random((300, 1)) < 0.3)
    selected = selected_arm(rng.random(40), rng.random((300, 40)) < 0.2, 8)
    there, back = gap(selected, trained), gap(trained, selected)
    assert there.estimate == pytest.approx(trained.estimate - selected.estimate)
    assert there.ci_low is not None and back.ci_high is not None
    assert there.ci_low == pytest.approx(-back.ci_high)


def test_nothing_solved_gives_an_interval_and_one_problem_none() -> None:
    nothing, something = Arm(np.zeros(300), (), 300), Arm(np.r_[np.ones(3), np.zeros(297)], (), 300)
    found = gap(nothing, something)
    assert found.ci_low is not None and found.ci_low < 0 < 0.01 == pytest.approx(found.estimate)
    assert gap(nothing, nothing).ci_high == pytest.approx(1 - 0.025 ** (1 / 300), rel=0.5)
    assert gap(Arm(np.zeros(1), (), 1), Arm(np.ones(1), (), 1)) == Estimate(1.0, None, None)


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((0.001, 0.05), "training adds more"),
        ((0.001, 0.015), "training adds more"),
        ((-0.03, -0.001), "selection suffices"),
        ((-0.01, 0.019), "selection suffices"),
        ((-0.01, 0.021), "cannot be told"),
        ((None, None), "cannot be told"),
    ],
)
def test_the_rule_for_training_against_selection(interval: tuple[float, float], outcome: str) -> None:
    assert outcome_of(Estimate(0.0, *interval)) == outcome


@pytest.mark.parametrize(
    ("training", "held_out", "fit"),
    [
        (Estimate(0.12, 0.08, 0.16), Estimate(0.0, -0.04, 0.04), "overfitting"),
        (Estimate(0.12, 0.08, 0.16), Estimate(0.02, -0.1, 0.14), "held-out cannot be told"),
        (Estimate(0.12, 0.08, 0.16), Estimate(0.05, 0.01, 0.09), "both rose"),
        (Estimate(0.01, -0.01, 0.03), Estimate(0.05, 0.01, 0.09), "training did not rise"),
        (Estimate(0.12, 0.08, 0.16), Estimate(0.0, None, None), None),
    ],
)
def test_the_rule_for_overfitting(training: Estimate, held_out: Estimate, fit: str | None) -> None:
    assert fit_of(training, held_out) == fit


def test_a_rise_is_that_of_the_mean_member() -> None:
    found = rise([0.1, 0.2, 0.3], [0.3, 0.4, 0.5])
    assert found.estimate == pytest.approx(0.2)
    # Welch's interval of two groups of three with equal spread has four degrees of freedom.
    assert found.ci_low == pytest.approx(0.2 - 2.776 * 0.1 * (2 / 3) ** 0.5, abs=1e-3)
