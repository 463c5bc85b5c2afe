"""The search for a solution finds what exists, held against every written expression and its exact value."""

from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esprobe.tasks.countdown.arithmetic import exact_value
from esprobe.tasks.countdown.generate import generated_rows
from esprobe.tasks.countdown.grammar import parse
from esprobe.tasks.countdown.reach import MOST_SEARCHED, nearest
from esprobe.tasks.countdown.scoring import score


def written(numbers):
    """Every fully parenthesised expression of these numbers in this order."""
    if len(numbers) == 1:
        yield str(numbers[0])
    for cut in range(1, len(numbers)):
        for left in written(numbers[:cut]):
            for right in written(numbers[cut:]):
                yield from (f"({left}{sign}{right})" for sign in "+-*/")


def values(numbers):
    """The oracle: what the scorer's own reading makes of every expression of the numbers."""
    found = set()
    for order in set(permutations(numbers)):
        for text in written(order):
            try:
                found.add(Fraction(exact_value(parse(text))))
            except ZeroDivisionError:
                continue
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1, max_size=3), st.data())
def test_exactly_the_values_of_some_expression_are_reached(numbers, data):
    reachable = values(numbers)
    assert all(nearest(numbers, value) == value for value in reachable)
    other = data.draw(st.fractions(-10_000, 10_000, max_denominator=100))
    assert (nearest(numbers, other) is None) == all(abs(value - other) >= Fraction(1, 10**5) for value in reachable)


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4), (5, 5, 5, 1), (0, 0, 7, 98), (99, 98, 97, 96)])
def test_four_numbers_reach_what_their_expressions_reach(numbers):
    reachable = values(numbers)
    assert all(nearest(numbers, value) == value for value in reachable)
    whole = {value for value in reachable if value.denominator == 1}
    absent = [Fraction(target) for target in range(-300, 300) if target not in whole]
    near = [t for t in absent if any(abs(value - t) < Fraction(1, 10**5) for value in reachable)]
    assert [t for t in absent if nearest(numbers, t) is not None] == near


def test_near_is_what_the_scorer_takes_for_near():
    for target, is_near in (("7.0000099", True), ("7.0000101", False), ("6.9999901", True), ("7", True)):
        assert (nearest((7,), Fraction(target)) is not None) is is_near
        assert score("<answer>7</answer>", [7], target).correct is is_near


def test_an_exact_value_is_preferred_to_a_near_one():
    # 0.3333333 is near 1/3; the whole target is what strict asks for.
    assert nearest((1, 3), Fraction("0.333333")) == Fraction(1, 3)
    assert nearest((100_000, 100_001, 1), Fraction(100_000 * 100_001)) == 100_000 * 100_001


def test_generated_problems_all_have_their_exact_solution():
    assert all(nearest(row.numbers, Fraction(row.target)) == Fraction(row.target) for row in generated_rows()[:300])


def test_too_many_numbers_are_refused():
    assert nearest(range(1, MOST_SEARCHED + 1), Fraction(21)) == 21
    with pytest.raises(ValueError, match="7 numbers are too many"):
        nearest(range(1, MOST_SEARCHED + 2), Fraction(21))
