"""Two answers are the same exactly when arithmetic says so: held against values, and against known counts."""

from fractions import Fraction
from itertools import permutations
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from esprobe.spec import Problem
from esprobe.tasks import AnswerForms, load_task
from esprobe.tasks.countdown import SCORERS, score
from esprobe.tasks.countdown.arithmetic import exact_value
from esprobe.tasks.countdown.canonical import expression, value
from esprobe.tasks.countdown.grammar import parse

SYMBOLS = (2, 3, 5, 7, 11)
"""Distinct, so that a number in an expression is a name for any number."""


def answering(text):
    return f"</think>\n<answer>{text}</answer>"


def spelled(text, numbers=SYMBOLS):
    return expression(answering(text), numbers)


def written(numbers):
    """Every fully parenthesised expression of these numbers in this order."""
    if len(numbers) == 1:
        yield str(numbers[0])
    for cut in range(1, len(numbers)):
        for left in written(numbers[:cut]):
            for right in written(numbers[cut:]):
                yield from (f"({left}{sign}{right})" for sign in "+-*/")


def meaning(text, rng_seed=1):
    """The oracle: exact values with large random numbers in place of the symbols, equal only for equal functions."""
    rng = Random(rng_seed)
    values = []
    for _ in range(2):
        for_symbol = {str(symbol): rng.randrange(10**9, 10**10) for symbol in SYMBOLS}
        postfix = parse(text)
        values.append(exact_value([for_symbol[str(item)] if isinstance(item, int) else item for item in postfix]))
    return tuple(map(Fraction, values))


@pytest.mark.parametrize(("count", "known"), [(1, 1), (2, 6), (3, 68), (4, 1170)])
def test_all_expressions_fall_into_as_many_kinds_as_there_are_functions(count, known):
    numbers = SYMBOLS[:count]
    by_spelling, by_meaning = {}, {}
    for order in permutations(numbers):
        for text in written(order):
            mine, oracle = spelled(text, numbers), meaning(text)
            assert by_spelling.setdefault(mine, oracle) == oracle, text
            assert by_meaning.setdefault(oracle, mine) == mine, text
    assert len(by_spelling) == known


@st.composite
def signed_expressions(draw, numbers=SYMBOLS):
    """Random trees over all the symbols, with signs anywhere and spaces between."""
    parts = [str(number) for number in draw(st.permutations(numbers))]
    while len(parts) > 1:
        place = draw(st.integers(0, len(parts) - 2))
        left, right = parts[place : place + 2]
        joined = f"{left} {draw(st.sampled_from('+-*/'))} {right}"
        parts[place : place + 2] = [f"{draw(st.sampled_from(['', '-', '+', '- -']))}({joined})"]
    return parts[0]


@given(signed_expressions(), signed_expressions())
def test_spellings_are_equal_if_and_only_if_meanings_are(one, other):
    assert (spelled(one) == spelled(other)) == (meaning(one) == meaning(other))


@given(signed_expressions())
def test_a_spelling_is_an_expression_of_the_same_meaning_and_its_own_spelling(text):
    assert meaning(spelled(text)) == meaning(text)
    assert spelled(spelled(text)) == spelled(text)


@given(st.data(), st.lists(st.integers(0, 4), min_size=2, max_size=5))
def test_with_repeated_numbers_equal_spellings_still_have_equal_values(data, numbers):
    texts = [data.draw(signed_expressions(numbers)) for _ in range(2)]
    spellings = [spelled(text, numbers) for text in texts]
    try:
        values = {exact_value(parse(text)) for text in (*texts, *spellings)}
    except ArithmeticError:
        assume(False)
    assert spellings[0] != spellings[1] or len(values) == 1


@pytest.mark.parametrize(
    ("text", "numbers", "expected"),
    [
        ("19 + (44 + 35)", (44, 19, 35), "44 + 35 + 19"),
        ("44 - (19 - 35)", (44, 19, 35), "44 + 35 - 19"),
        ("5 / (7 / 2)", (2, 5, 7), "5 * 2 / 7"),
        ("(3 - 5) * 2", (2, 3, 5), "-((5 - 3) * 2)"),
        ("6 * 1", (6, 1), "6 * 1"),
        ("6 / 1", (6, 1), "6 / 1"),
        ("5 - 5", (5, 5), "5 - 5"),
        ("-(5 - 5)", (5, 5), "5 - 5"),
        ("5 - 5 + 2", (5, 2, 5), "5 - 5 + 2"),
        ("-5", (5,), "-5"),
        ("2 ** 3 + 1", (1, 2, 3), "(2 ** 3) + 1"),
        ("3 ** 2 + 1", (1, 2, 3), "(3 ** 2) + 1"),
        ("-7 // 2", (2, 7), "(-7 // 2)"),
        ("\n 5 * 2 \n", (5, 2), "5 * 2"),
        ("5 / (2 - 2)", (5, 2, 2), "5 / (2 - 2)"),
        ("5 + 2", (5, 3), None),
        ("05 + 2", (5, 2), None),
        ("5 +", (5,), None),
        ("five", (5,), None),
        ("", (5,), None),
    ],
)  # fmt: skip
def test_spellings(text, numbers, expected):
    assert spelled(text, numbers) == expected


def test_sixty_four_numbers_and_thousands_of_signs_end():
    numbers = list(range(1, 65))
    nested = "".join(f"({n}{'+-*/'[n % 4]}" for n in numbers[:-1]) + str(numbers[-1]) + ")" * 63
    assert spelled(nested, numbers) is not None
    assert spelled("-" * 2900 + "5", (5,)) == "5"
    assert spelled("-" * 1_000_000 + "5", (5,)) is None
    assert expression("<answer>" * 100_000, (5,)) is None


# --- values


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("98", Fraction(98)),
        ("-7", Fraction(-7)),
        ("137/5", Fraction(137, 5)),
        ("1.5e+300", Fraction(15 * 10**299)),
        ("1e-07", Fraction(1, 10**7)),
        (None, None),
        ("", None),
        ("1/0", None),
        ("inf", None),
        ("nan", None),
        ("odd", None),
        ("1 + 2", None),
        ("1e999999999", None),
        ("9" * 41, None),
        ("\u0661", None),
    ],
)
def test_values(answer, expected):
    assert value(answer) == expected


@given(signed_expressions(), st.sampled_from(SCORERS))
def test_the_value_of_a_stored_answer_is_that_of_its_expression(text, scorer):
    stored = score(answering(text), list(SYMBOLS), "98", scorer).answer
    assume(stored is not None)
    assert value(stored) == exact_value(parse(text))


@given(st.text(max_size=50))
def test_any_text_has_a_value_or_none(text):
    assert value(text) is None or isinstance(value(text), Fraction)


def test_countdown_has_the_hook_and_a_task_need_not():
    task = load_task("countdown")
    assert isinstance(task, AnswerForms)
    assert not isinstance(object(), AnswerForms)
    problem = Problem(0, {"numbers": [44, 19, 35], "target": "98"}, "3 numbers")
    assert task.value(problem, "98") == 98
    assert task.expression(problem, answering("19+(44+35)")) == "44 + 35 + 19"
