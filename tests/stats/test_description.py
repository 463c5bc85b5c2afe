"""Histograms, effective draws, diversity, fates, overlap, costs and the choice among many, by hand."""

import numpy as np
import pytest

from esprobe.records import OutcomeCount
from esprobe.spec import Kind
from esprobe.stats.cost import cost_axes, cost_matched
from esprobe.stats.curve import estimate_curve
from esprobe.stats.diversity import diversity
from esprobe.stats.histogram import correct_counts
from esprobe.stats.independence import independence
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.overlap import overlap
from esprobe.stats.selection import expected_maximum, expected_selection_bias, split
from esprobe.stats.taxonomy import taxonomy
from esprobe.stats.verdict import outcome_of


def full(correct):
    correct = np.asarray(correct, dtype=bool)
    return Outcomes(correct, np.ones_like(correct))


def test_shares_fall_into_the_bin_they_end():
    found = correct_counts(np.array([20, 20, 20, 40, 20]), np.array([0, 1, 3, 6, 20]))
    assert (found.problems, found.solved, found.unsolved, found.all_correct) == (5, 4, 1, 1)
    assert (found.bins[0], found.bins[2], found.bins[19], sum(found.bins)) == (1, 2, 1, 4)  # 1/20, 3/20 twice, 1
    assert found.coverage == 0.8
    assert found.depth == pytest.approx((0.05 + 0.15 + 0.15 + 1) / 4)
    assert correct_counts(np.array([2]), np.array([0])).depth is None


def test_correlation_is_that_of_every_pair():
    rng = np.random.default_rng(0)
    correct = rng.random((60, 8)) < rng.random((60, 1))
    pairs = np.corrcoef(correct.T.astype(float))[np.triu_indices(8, 1)]
    found = independence(full(correct))
    assert found.correlation == pytest.approx(pairs.mean())
    assert found.effective == pytest.approx(8 / (1 + 7 * pairs.mean()))


def test_copies_are_one_draw_and_opposites_no_more_than_there_are():
    column = np.array([1, 0, 0, 1, 1])
    assert independence(full(np.tile(column[:, None], 6))).effective == pytest.approx(1)
    assert independence(full(np.stack([column, 1 - column], axis=1))).effective == 2


@pytest.mark.parametrize(
    ("correct", "note"), [([[1, 0]], "one problem"), ([[1], [0]], "one draw"), ([[1, 0], [1, 0]], "no draw varies")]
)
def test_no_correlation_has_a_reason(correct, note):
    assert independence(full(correct)).note == note


def test_distinct_answers_by_hand():
    found = diversity([(1, "a"), (1, "a"), (1, "b"), (2, "a")], 64)
    assert (found.solved, found.correct, found.mean_distinct, found.most_distinct) == (2, 4, 1.5, 2)
    assert found.duplicate_share == 0.25
    assert diversity([], 64).mean_distinct is None


def test_fates_add_up_and_a_cut_off_answer_counts_by_its_answer():
    found = taxonomy(
        [
            OutcomeCount("3", None, "stop", 0.1, 5),
            OutcomeCount("3", None, "length", 0.05, 1),
            OutcomeCount("4", "no-answer", "length", 0.0, 7),
            OutcomeCount("4", "no-answer", "loop", 0.0, 2),
            OutcomeCount("4", "no-answer", "stop", 0.0, 1),
            OutcomeCount("4", "value", "length", 0.1, 4),
        ]
    )
    fates = {fate.word: (fate.rollouts, fate.by_group) for fate in found.fates}
    assert fates == {
        "correct": (6, (6, 0)),
        "truncated": (7, (0, 7)),
        "value": (4, (0, 4)),
        "loop": (2, (0, 2)),
        "no-answer": (1, (0, 1)),
    }
    assert found.rollouts == sum(n for n, _ in fates.values()) == sum(cell.rollouts for cell in found.formats) == 20
    assert [(c.bonus, c.correct, c.rollouts) for c in found.formats] == [
        (0.1, True, 5), (0.1, False, 4), (0.05, True, 1), (0.0, False, 10)
    ]  # fmt: skip
    assert taxonomy([]).rollouts == 0


def test_overlap_by_class():
    a, b = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    found = overlap(np.arange(200, 205), ["3", "3", "4", "4", "4"], a, b, (8, 8), (8, 8))
    rows = {r.group: (r.only_a, r.only_b, r.both, r.neither) for r in found.rows}
    assert rows == {"3": (1, 0, 1, 0), "4": (1, 1, 0, 1), "all": (2, 1, 1, 1)}
    assert (found.only_a, found.only_b, found.both, found.neither) == ((201, 204), (202,), (200,), (203,))
    assert found.total.group == "all"


def test_costs_count_switches_and_only_timed_rollouts():
    curve = estimate_curve(full([[1, 0, 0, 0], [0, 0, 1, 1]]), Kind.PERTURBATION)
    found = cost_axes(curve, rollouts=8, tokens=80, timed_rollouts=4, generate_s=2.0, switch_s=1.0)
    assert (found.tokens_per_rollout, found.seconds_per_rollout, found.switch_seconds_per_rollout) == (10, 0.5, 0.25)
    assert [(p.k, p.tokens, p.seconds) for p in found.points] == [(1, 10, 0.75), (2, 20, 1.5), (4, 40, 3)]
    untimed = cost_axes(curve, 8, 80, 0, 0.0, 0.0)
    assert untimed.seconds_per_rollout is None and untimed.points[0].seconds is None
    assert cost_axes(curve, 0, 0, 0, 0.0, 0.0).points == ()


def test_equal_budgets_give_the_dear_condition_fewer_rollouts():
    given = full([[1, 0, 0, 0], [0, 0, 1, 1]])
    found = cost_matched("tokens", {1: 10.0, 2: 20.0}, {1: given, 2: given})
    last = found.budgets[-1]
    assert (last.amount, last.ks) == (40, (4, 2))
    assert last.estimates[0] == 1 and last.estimates[1] == pytest.approx((0.5 + 5 / 6) / 2)
    assert found.budgets[0].ks == (1, None)
    # 1.5 rollouts: half of the problems have two.
    (between,) = (
        b for b in cost_matched("tokens", {1: 10.0, 2: 40 / 3}, {1: given, 2: given}).budgets if b.amount == 20
    )
    one, two = 3 / 8, (0.5 + 5 / 6) / 2
    assert between.ks == (2, pytest.approx(1.5))
    assert between.estimates == (pytest.approx(two), pytest.approx((one + two) / 2))
    assert cost_matched("tokens", {1: 10.0}, {1: given}) is None


def test_the_split_is_stratified_seeded_and_half():
    indices, groups = np.arange(101), ["3"] * 40 + ["4"] * 61
    chosen = split(indices, groups)
    assert (chosen[:40].sum(), chosen[40:].sum()) == (20, 30)
    np.testing.assert_array_equal(chosen, split(indices, groups))


def test_the_expected_maximum_of_normals():
    """Known: 2 draws 1/sqrt(pi); 1,024 draws about 3.2."""
    assert expected_maximum(1) == pytest.approx(0, abs=1e-6)
    assert expected_maximum(2) == pytest.approx(np.pi**-0.5, abs=1e-5)
    assert expected_maximum(1024) == pytest.approx(3.25, abs=0.02)


def test_what_a_choice_feigns_is_what_it_feigns_in_a_simulation():
    """512 perturbations of equal worth on 200 problems: the winner looks 9.5 points better on average."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.5, 2, 200)
    wins = [np.max((rng.random((200, 512)) < chance[:, None]).mean(axis=0)) for _ in range(100)]
    assert np.mean(wins) - chance.mean() == pytest.approx(expected_selection_bias(chance, 512), rel=0.05)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.1, 0.05, 0.15, 0.01), "B ahead"),
        ((-0.1, -0.15, -0.05, 0.01), "A ahead"),
        ((0.001, -0.01, 0.012, 0.8), "alike"),
        ((0.1, 0.001, 0.2, 0.06), "not told apart"),
        ((0.01, None, None, None), None),
        ((0.0, -0.3, 0.3, 1.0), "not told apart"),
    ],
)
def test_the_rule_of_the_verdict(given, said):
    assert outcome_of(*given) == said
