"""k*, where two pass@k curves cross, the k that reaches a pass@1, and the confidence sets of both."""

import numpy as np
import pytest

from esprobe.spec import Kind
from esprobe.stats.crossing import crossing_point, evaluated_ks, inverted_set, reaching_point
from esprobe.stats.side import Side, sampled_side
from tests.stats.crossed import full
from tests.stats.crossing_coverage import LEAST, MOST, Pair, measure

ALWAYS = 60
"""Problems of 100 that the trained model always solves; it never solves the others."""


def side(counts: list[int], n: int, kind: Kind = Kind.TEMPERATURE, ks: tuple[int, ...] | None = None) -> Side:
    correct = np.arange(n) < np.array(counts)[:, None]
    return sampled_side(full(correct), np.arange(n), kind, ks or evaluated_ks(n))


def base(n: int = 16) -> Side:
    """Half of the rollouts of each problem are correct, give or take one."""
    return side([n // 2 - 1, n // 2 + 1] * 50, n)


def trained(n: int = 16) -> Side:
    return side([n] * ALWAYS + [0] * (100 - ALWAYS), n)


def test_every_k_is_evaluated_up_to_64_and_a_grid_beyond() -> None:
    assert evaluated_ks(1) == (1,)
    assert evaluated_ks(64) == tuple(range(1, 65))
    ks = evaluated_ks(1000)
    assert ks[:64] == tuple(range(1, 65)) and ks[-1] == 1000
    assert all(1 < b / a < 1.06 for a, b in zip(ks[63:-1], ks[64:-1], strict=False))
    assert list(ks) == sorted(set(ks))


def test_curves_cross_where_their_difference_changes_sign() -> None:
    one, other = base(), trained()
    found = crossing_point(one, other)
    assert found is not None and found.k is not None
    before, after = (other.values - one.values).mean(axis=0)[:2]
    assert before > 0 > after  # so that it lies between k = 1 and 2
    assert found.k == pytest.approx(2 ** (before / (before - after)))
    ((low, high),) = found.ranges
    assert low is not None and high is not None and 1 < low < found.k < high < 16
    assert (found.first, found.last) == pytest.approx((ALWAYS / 100 - 0.5, ALWAYS / 100 - 1))


def test_the_base_reaches_pass_1_where_its_curve_is_as_high() -> None:
    greedy = side([1] * ALWAYS + [0] * (100 - ALWAYS), 1, Kind.GREEDY, (1,))
    found, curves = reaching_point(base(), greedy), crossing_point(base(), trained())
    assert found is not None and curves is not None
    assert found.k == curves.k  # the trained model's curve is flat, so both are the same question
    already = reaching_point(trained(), side([1] * 50 + [0] * 50, 1, Kind.GREEDY, (1,)))
    assert already is not None and already.k == 1.0
    never = reaching_point(side([1] * 10 + [0] * 90, 16), greedy)
    assert never is not None and never.k is None and never.last > 0 and never.ranges == ()


def test_curves_that_do_not_cross_have_no_k() -> None:
    above = crossing_point(side([0, 0, 1, 0] * 25, 16), trained())
    assert above is not None and above.k is None and above.ranges == () and above.first > 0 and above.last > 0
    alike = crossing_point(side([8, 6] * 50, 16), side([6, 8] * 50, 16))
    assert alike is not None and alike.k is None and alike.ranges == ((None, None),)


def test_the_grid_gives_the_same_as_every_k() -> None:
    n = 256
    one, other = side([8, 4] * 50, n), side([n] * 40 + [2, 0] * 30, n)
    grid = crossing_point(one, other)
    every = crossing_point(*(side_at(counts, n) for counts in ([8, 4] * 50, [n] * 40 + [2, 0] * 30)))
    assert grid is not None and every is not None and grid.k is not None and every.k is not None
    assert grid.k == pytest.approx(every.k, rel=1e-3)
    assert np.allclose(np.array(grid.ranges, float), np.array(every.ranges, float), rtol=1e-2)


def side_at(counts: list[int], n: int) -> Side:
    return side(counts, n, ks=tuple(range(1, n + 1)))


def test_one_problem_has_no_interval() -> None:
    assert crossing_point(side([3], 16), side([5], 16)) is None


def test_both_models_greedy_alone_have_one_k() -> None:
    greedy = side([1] * 50 + [0] * 50, 1, Kind.GREEDY, (1,))
    found = crossing_point(greedy, side([0] * 50 + [1] * 50, 1, Kind.GREEDY, (1,)))
    assert found is not None and (found.n, found.k, found.ranges) == (1, None, ((None, None),))


@pytest.mark.parametrize(
    ("lows", "highs", "expected"),
    [
        ([1, 1, 1], [2, 2, 2], ()),
        ([-1, -1, -1], [1, 1, 1], ((None, None),)),
        ([1, -1, -2], [3, 1, -1], ((2**0.5, 2 * 2**0.5),)),
        ([1, 1, -1], [3, 3, 3], ((2 * 2**0.5, None),)),
        ([-1, -3, -3], [1, -1, -1], ((None, 2**0.5),)),
        ([-1, 1, -1], [3, 3, 3], ((None, 2**0.5), (2 * 2**0.5, None))),
        ([1, -3, -3], [3, -1, -1], ((2**0.25, 2**0.75),)),
        ([np.nan, -3, -3], [np.nan, -1, -1], ((None, 2**0.5),)),
    ],
    ids=["excluded", "anything", "closed", "open above", "open below", "two ranges", "between two k", "not known"],
)
def test_a_set_holds_every_k_at_which_0_is_inside(
    lows: list[float], highs: list[float], expected: tuple[tuple[float | None, float | None], ...]
) -> None:
    found = inverted_set((1, 2, 4), np.array(lows, float), np.array(highs, float))
    assert len(found) == len(expected)
    for ends, wanted in zip(found, expected, strict=True):
        assert ends == tuple(None if end is None else pytest.approx(end) for end in wanted)


@pytest.mark.parametrize("kind", [Kind.TEMPERATURE, Kind.PERTURBATION])
def test_sets_hold_the_true_k(kind: Kind) -> None:
    """400 runs of a fixed seed; the full table is that of ``nox -s coverage``."""
    found = measure(Pair(kind=kind, problems=200, samples=32), reps=400, seed=7)
    assert LEAST <= found.crossing <= MOST, found
    assert LEAST <= found.reaching <= MOST, found
