"""Rewards equal the published ones; strict verdicts follow mathematics; no text does harm."""

import json
import re
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from esprobe.errors import UsageError
from esprobe.tasks.countdown.scoring import FAILURES, SCORERS, score
from tests.tasks.published_reward import DoesNotEnd, evaluated, reward
from tests.tasks.scoring_time import long

PUBLISHED_DATA = Path(__file__).parents[3] / "shared" / "data" / "countdown.json"
EXPRESSION_CHARACTERS = "0123456789+-*/() \n"


def answering(expression):
    return f"44 and 19 make 63.</think>\n<answer>{expression}</answer>"


def numbers_in(expression):
    return [int(digits) for digits in "".join(c if c.isdigit() else " " for c in expression).split()]


def assert_as_published(completion, numbers, target):
    """Both rewards are equal; skips a completion on which the published code never ends."""
    try:
        expected = reward(completion, numbers, target)
    except DoesNotEnd:
        assume(False)
    assert score(completion, numbers, target).reward == expected


# --- es-paper/1, tables


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("a</think>\n<answer>1</answer>", 1.0),
        ("a</think>\n<answer>1</answer>\n", 1.0),
        ("</think>\n<answer></answer>", 1.0),
        ("a</think>\n<answer>1</answer>\n\n", 0.6),
        ("a</think>\n<answer>1</answer> ", 0.6),
        ("a</think><answer>1</answer>", 0.6),
        ("a</think>\n\n<answer>1</answer>", 0.6),
        ("a</think> \n<answer>1</answer>", 0.6),
        ("<answer>1</answer></think>", 0.6),
        ("</think>\n<answer>1</answer></think>\n<answer>2</answer>", 1.0),
        ("</think> </think>\n<answer>1</answer> and </answer>", 1.0),
        ("</think>\n<answer></think>\n<answer>1</answer>", 1.0),
        ("<answer>1</answer></think>\n<answer>", 0.6),
        ("</answer></think>\n<answer>", 0.1),
        ("</think>", 0.1),
        ("</think>\n<answer>1", 0.1),
        ("<answer>1</answer>", 0.5),
        ("</answer><answer>", 0.0),
        ("<think>", 0.0),
        ("", 0.0),
    ],
)
def test_format_part(completion, expected):
    verdict = score(completion, [7], "7")
    assert verdict.reward == 0.1 * expected == reward(completion, [7], "7")
    assert not verdict.correct


@pytest.mark.parametrize(
    ("completion", "failure"),
    [
        ("<answer>7</answer>", None),
        ("<answer>8</answer><answer>7</answer>", None),
        ("<answer>7</answer><answer>8</answer>", "numbers"),
        ("<answer>7</answer><answer></answer>", "no-answer"),
        ("<answer>7</answer><answer>8", None),
        ("<answer>7</answer></answer>", None),
        ("<answer>8<answer>7</answer>", "characters"),
        ("<answer>8</answer></answer><answer>7</answer>", None),
        ("<answer>8</answer>7</answer>", "numbers"),
        ("</answer><answer>7</answer>", None),
        ("<answer>a<answer>b</answer>c</answer><answer>7</answer>", None),
        ("<answer>7</answer><answer>x<answer>8</answer>", "characters"),
        ("<ANSWER>7</ANSWER>", "no-answer"),
        ("<answer >7</answer>", "no-answer"),
        ("7", "no-answer"),
    ],
)
def test_the_last_block_counts(completion, failure):
    assert_as_published(completion, [7], "7")
    for scorer in SCORERS:
        assert score(completion, [7], "7", scorer).failure == failure


@pytest.mark.parametrize(
    ("expression", "numbers", "target", "answer", "failure"),
    [
        ("44 + 19 + 35", [44, 19, 35], "98", "98", None),
        (" 35+(19+44) ", [44, 19, 35], "98", "98", None),
        ("44 + 19 + 35\n", [44, 19, 35], "98", "98", None),
        ("44 + 19 + 35\n\n", [44, 19, 35], "98", None, "characters"),
        ("\n44 + 19 + 35", [44, 19, 35], "98", None, "characters"),
        ("44 + 19 + 35 = 98", [44, 19, 35], "98", None, "characters"),
        ("44 + 19 + 35.0", [44, 19, 35], "98", None, "characters"),
        ("44 x 19", [44, 19], "836", None, "characters"),
        ("1_0", [10], "10", None, "characters"),
        ("\uff17", [7], "7", None, "characters"),
        ("", [7], "7", None, "no-answer"),
        (" ", [7], "7", None, "no-answer"),
        ("\n", [7], "7", None, "no-answer"),
        ("44 + 19", [44, 19, 35], "63", None, "numbers"),
        ("44 + 44 + 19 + 35 - 44", [44, 19, 35], "98", None, "numbers"),
        ("4 + 4", [4], "8", None, "numbers"),
        ("4 + 4", [4, 4], "8", "8", None),
        ("98", [44, 19, 35], "98", None, "numbers"),
        ("44 - 19 + 35", [44, 19, 35], "98", "60", "value"),
        ("1 / 3", [1, 3], "0.33333", "1/3", None),
        ("1 / 3", [1, 3], "0.3333", "1/3", "value"),
        ("(98 / (47 - 52)) + 47", [98, 47, 47, 52], "27.4", "137/5", None),
        ("137 / 5", [137, 5], 27.4, "137/5", None),
        ("6 / 4 * 2", [6, 4, 2], 3, "3", None),
        ("-6 / 4", [6, 4], -1.5, "-3/2", None),
        ("- -5", [5], "5", "5", None),
        ("+5", [5], "5", "5", None),
        ("3 - -+ - 2", [3, 2], "1", "1", None),
        ("7**2 - 5", [7, 2, 5], "44", "44", None),
        ("-2**2", [2, 2], "-4", "-4", None),
        ("-(-(-2)**2)", [2, 2], "4", "4", None),
        ("-(+(--((3)-1))**2)*2", [3, 1, 2, 2], "-8", "-8", None),
        ("2**-2", [2, 2], "0.25", "1/4", None),
        ("2**-1**2 * 4", [2, 1, 2, 4], "2", "2", None),
        ("2**3**2", [2, 3, 2], "512", "512", None),
        ("8**(1/3)", [8, 1, 3], "2", "2", None),
        ("2**(1/2)", [2, 1, 2], "1.4142135", "1.4142135623730951", None),
        ("7//2 + 5", [7, 2, 5], "8", "8", None),
        ("-7//2", [7, 2], "-4", "-4", None),
        ("7/2//1", [7, 2, 1], "3", "3", None),
        ("137 / 5**1", [137, 5, 1], "27.4", "137/5", None),
        ("0", [0], "0", "0", None),
        ("000", [0], "0", "0", None),
        ("0 * -1 / 1", [0, 1, 1], "0", "0", None),
        ("07", [7], "7", None, "invalid"),
        ("07 * 2 - 5", [7, 2, 5], "9", None, "invalid"),
        ("1 2", [1, 2], "12", None, "invalid"),
        ("()", [], "0", None, "invalid"),
        ("() * 5", [5], "0", None, "invalid"),
        ("5(3)", [5, 3], "15", None, "invalid"),
        ("(5)(3)", [5, 3], "15", None, "invalid"),
        ("(5)3", [5, 3], "15", None, "invalid"),
        ("5()", [5], "5", None, "invalid"),
        ("(5", [5], "5", None, "invalid"),
        ("5)", [5], "5", None, "invalid"),
        ("(5) + (3))", [5, 3], "8", None, "invalid"),
        (")5(", [5], "5", None, "invalid"),
        ("5 +", [5], "5", None, "invalid"),
        ("* 5", [5], "5", None, "invalid"),
        ("(*5)", [5], "5", None, "invalid"),
        ("5 * * 2", [5, 2], "25", None, "invalid"),
        ("5 *** 2", [5, 2], "25", None, "invalid"),
        ("5 / / 2", [5, 2], "2", None, "invalid"),
        ("5 /// 2", [5, 2], "2", None, "invalid"),
        ("5 */ 2", [5, 2], "2", None, "invalid"),
        ("5 + * 2", [5, 2], "2", None, "invalid"),
        ("5 - (+)", [5], "5", None, "invalid"),
        ("5 / (2 - 2)", [5, 2, 2], "0", None, "invalid"),
        ("5 // (2 - 2)", [5, 2, 2], "0", None, "invalid"),
        ("5 / (2 / 1 - 2)", [5, 2, 1, 2], "0", None, "invalid"),
        ("0**-1", [0, 1], "0", None, "invalid"),
        ("0**0", [0, 0], "1", "1", None),
        ("(0-8)**(1/3)", [0, 8, 1, 3], "1", None, "invalid"),
        ("0 * (0-8)**(1/3)", [0, 0, 8, 1, 3], "0", None, "invalid"),
        ("0**(0-8)**(1/2)", [0, 0, 8, 1, 2], "0", None, "invalid"),
        ("1 / 3 * 3", [1, 3, 3], "1", "1", None),
        ("1 / (1 / 49 * 49 - 1)", [1, 1, 49, 49, 1], "0", "-9007199254740992", "value"),
    ],
)
def test_answers(expression, numbers, target, answer, failure):
    verdict = score(answering(expression), numbers, target)
    assert (verdict.answer, verdict.failure) == (answer, failure)
    assert verdict.correct == (failure is None)
    assert verdict.reward == (1.1 if verdict.correct else 0.1)
    assert_as_published(answering(expression), numbers, target)


def test_the_tolerance_is_published():
    for target, is_near in ((7.0000099, True), (7.0000101, False), (6.9999901, True), ("7.1", False)):
        assert score(answering("7"), [7], target).correct is is_near
        assert_as_published(answering("7"), [7], target)


# 5,821 and 32,087 bits: computed, the second barely; 63,518 and 63,014: known by size and parity (even, odd).
@pytest.mark.parametrize("large", ["97**(98*9)", "98**(49*99)", "98**(97*99)", "99**(97*98)"])
@pytest.mark.parametrize(
    "pattern",
    [
        "44 + 5 // {}",
        "44 + -5 // {}",
        "44 + 5 // -{}",
        "44 - 5 / {}",
        "3 * (0 // {})",
        "0 / {} + 3",
        "0 * {} + 3",
        "{} * (2 - 2) + 3",
        "1**{}",
        "(-1)**({})",
        "(-1)**({} + 1)",
        "(-1)**({} - 3)",
        "(-1)**(3 - {})",
        "(-1)**({} * 2)",
        "(-1)**(-3 * -{})",
        "(-1)**(({})**2)",
        "(-1)**({} // -1)",
        "0**({})",
        "0**-{}",
        "({})**(1 - 1)",
        "({})**-1",
        "({})**(1/2)",
        "2**-({})",
        "(1/2)**({})",
        "-5 // ({} + 7)",
        "5 // ({} * 3)",
        "5 // (7 - {})",
        "5 // (7**(50*50) * {})",
        "5 // ({} // 3)",
        "5 // -({} // -3)",
        "5 // ({})**2",
        "5 // (-{})**3",
        "3 + 1 // ({} - {})",
        "3 + 1 // ({} + {})",
        "3 + {} // ({} * {})",
        "3 + {} / ({} * {})",
        "{} // (2 - 2)",
        "{} / (2 - 2)",
        "{} / 3",
        "{} + 1 / 2",
        "1 / 2 - {}",
        "(1 / 2) * {}",
        "{} // (1 / 2)",
        "(1 / 2) // {}",
        "{}",
        "-{}",
    ],
)
def test_large_integers_as_python_has_them(pattern, large):
    """The target is the value itself where there is one: two rewards of 0 would be equal, too."""
    other, third = "7**(50*50*2)", "7**(50*60*2)"
    expression = pattern.replace("{}", large, 1).replace("{}", other, 1).replace("{}", third, 1)
    try:
        target = float(evaluated(expression, seconds=5))
    except ArithmeticError:
        target = 0.0
        assert not score(answering(expression), numbers_in(expression), target).correct
    else:
        assert score(answering(expression), numbers_in(expression), target).correct
    assert_as_published(answering(expression), numbers_in(expression), target)


@pytest.mark.parametrize(
    "expression",
    [
        "44**19**35",
        "9**9**9",
        "5 // 9**9**9**9",
        "9**9**9 - 9**9**9",
        "1 / 9**9**99",
        "(9**9)**9**9**9",
        "5 // 2**(98**(97*99))",
        "5 // (98**(97*99))**(97*99)",
        "5 // (98**(97*99))**(98**(97*99))",
    ],
)
def test_powers_that_never_end_are_no_answer(expression):
    numbers = numbers_in(expression)
    for target in ("0", "5", "98"):
        verdict = score(answering(expression), numbers, target)
        assert (verdict.reward, verdict.answer, verdict.failure) == (0.1, None, "invalid")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("99**(98 * 97) - 99**(98 * 97)", 0),
        ("99**(98 * 97) // 99**(98 * 97)", 1),
        ("99**(98 * 97) / 99**(98 * 97)", 1),
        ("(-1)**(98**(98 * 97) // 7)", 1),
    ],
)
def test_the_documented_exception_stands(expression, value):
    """Where two large numbers meet, Python computes what esprobe leaves undecided."""
    assert evaluated(expression, seconds=5) == value
    assert score(answering(expression), numbers_in(expression), value).failure == "invalid"


POWER = "2**16000"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (f"{POWER} + {POWER} - 2**16001", 0),
        (f"{POWER} // {POWER} + {POWER} * 0", 1),
        ("9007199254740991**300 // 9007199254740991**299 - 9007199254740991", 0),
        ("+".join(["2**1000 // 2**999"] * 32), 64),
        ("-(" * 100 + f"{POWER} - {POWER} + 7" + ")" * 100, 7),
    ],
)
def test_what_one_expression_may_compute(expression, value):
    """Three powers of the greatest size are, and any number of those that a float can hold."""
    assert evaluated(expression, seconds=5) == value
    assert score(answering(expression), numbers_in(expression), value).correct
    assert_as_published(answering(expression), numbers_in(expression), value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (f"{POWER} // {POWER} + {POWER} // {POWER}", 2),
        ("+".join(["9007199254740991**300 / 9007199254740991**300"] * 16), 16),
        (f"{POWER} // 2**8000 * 0 + {POWER} // 2**15999", 2),
    ],
)
def test_what_one_expression_may_not_compute(expression, value):
    """The documented exception: together these take too long, each alone would not."""
    assert evaluated(expression, seconds=5) == value
    assert score(answering(expression), numbers_in(expression), value).failure == "invalid"


def test_large_integers_beyond_what_is_computed_still_have_size_and_parity():
    spent = "+".join([f"0 * {POWER}"] * 4)
    for rest, value in ((f"5 // {POWER}", 0), (f"-5 // {POWER}", -1), (f"(-1)**({POWER} + 1)", -1), ("2**999", 2**999)):
        expression = f"{spent} + {rest}"
        assert evaluated(expression, seconds=5) == value
        assert_as_published(answering(expression), numbers_in(expression), value)
        assert score(answering(expression), numbers_in(expression), value).correct


@pytest.mark.parametrize(
    ("expression", "is_read"),
    [
        ("(" * 200 + "5" + ")" * 200, True),
        ("(" * 201 + "5" + ")" * 201, False),
        ("-(" * 200 + "5" + ")" * 200, True),
        ("--(" * 199 + "5" + ")" * 199, True),
        ("--(" * 200 + "5" + ")" * 200, False),
        ("(" * 199 + "-" * 398 + "5" + ")" * 199, True),
        ("(" * 199 + "-" * 406 + "5" + ")" * 199, False),
        ("-" * 2000 + "5", True),
        ("- " * 2000 + "5", True),
        ("-" * 10_000 + "5", False),
        ("(" * 3000 + "5" + ")" * 3000, False),
    ],
)
def test_nesting_is_limited_as_in_python(expression, is_read):
    verdict = score(answering(expression), [5], "5")
    assert verdict.correct is is_read
    assert_as_published(answering(expression), [5], "5")


def test_nesting_is_counted_per_operand():
    """What stands beside an operand does not deepen it."""
    expression = " - ".join("-" * 1500 + "5" for _ in range(6)) + "+(5)" * 3
    numbers = [5] * 9
    assert score(answering(expression), numbers, "-5").correct
    assert_as_published(answering(expression), numbers, "-5")


def test_numbers_too_long_for_int_are_wrong_numbers():
    """Here the published code dies of int()'s limit of 4,300 digits."""
    for digits in ("9" * 5000, "0" * 5000 + "1"):
        with pytest.raises(ValueError, match="Exceeds the limit"):
            reward(answering(digits), [9], "9")
        assert score(answering(digits), [9], "9").failure == "numbers"


# --- es-paper/1, properties

NUMBERS = st.lists(st.integers(0, 99) | st.integers(0, 3), min_size=1, max_size=5)
SPACES = st.sampled_from(["", "", " ", "  "])
SIGNS = st.sampled_from(["", "", "", "", "", "-", "+", "- -", "--"])
DEPTH = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
FOUR = ("+", "-", "*", "/")
SIX = (*FOUR, "//", "**")


@st.composite
def expressions(draw, numbers, operators=SIX, signs=SIGNS):
    """A random grouping of the numbers in random order, with and without the parentheses it needs."""
    parts = [str(number) for number in draw(st.permutations(numbers))]
    while len(parts) > 1:
        at = draw(st.integers(0, len(parts) - 2))
        symbol = draw(SPACES) + draw(st.sampled_from(operators)) + draw(SPACES) + draw(signs)
        joined = parts[at] + symbol + parts[at + 1]
        for _ in range(draw(DEPTH)):
            joined = f"({draw(signs)}{joined})"
        parts[at : at + 2] = [joined]
    return draw(signs) + parts[0]


@st.composite
def mutants(draw, text, characters):
    """The text after a few insertions, deletions, replacements and swaps."""
    symbols = list(text)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(symbols)))
        kind = draw(st.sampled_from(["insert", "delete", "replace", "swap"]))
        if kind == "insert":
            symbols.insert(at, draw(characters))
        elif kind == "delete":
            del symbols[at : at + 1]
        elif kind == "replace":
            symbols[at : at + 1] = [draw(characters)]
        elif symbols:
            other = draw(st.integers(0, len(symbols) - 1))
            at = min(at, len(symbols) - 1)
            symbols[at], symbols[other] = symbols[other], symbols[at]
    return "".join(symbols)


def target_of(expression):
    """The value where there is one, so that half the answers are right and equality means something."""
    try:
        target = float(evaluated(expression.strip(" \n"), seconds=0.05))
    except DoesNotEnd:
        assume(False)
    except Exception:
        return 0.0
    return target if abs(target) < 1e300 else 0.0


@settings(deadline=None, max_examples=150)
@given(data=st.data(), numbers=NUMBERS)
def test_well_formed_answers_score_as_published(data, numbers):
    expression = data.draw(expressions(numbers))
    target = target_of(expression) + data.draw(st.sampled_from([0, 0, 0, 9e-6, 1.1e-5, 1]))
    assert_as_published(answering(expression), numbers, target)


@settings(deadline=None, max_examples=150)
@given(data=st.data(), numbers=NUMBERS)
def test_mutated_answers_score_as_published(data, numbers):
    expression = data.draw(mutants(data.draw(expressions(numbers)), st.sampled_from(EXPRESSION_CHARACTERS)))
    target = target_of(expression)
    given_numbers = data.draw(st.sampled_from([numbers, numbers_in(expression)]))
    assert_as_published(answering(expression), given_numbers, target)


@settings(deadline=None, max_examples=150)
@given(symbols=st.lists(st.sampled_from(["1", "2", "(", ")", "+", "-", "*", "/", "//", "**", " "]), max_size=9))
def test_any_row_of_symbols_scores_as_published(symbols):
    expression = "".join(symbols)
    assert_as_published(answering(expression), numbers_in(expression), target_of(expression))


TAGS = ["<think>", "</think>", "<answer>", "</answer>", "\n", "</think>\n<answer>", "</answer>\n", "7", "8", "<", "/"]


@settings(deadline=None, max_examples=400)
@given(pieces=st.lists(st.sampled_from(TAGS), max_size=14))
def test_any_row_of_tags_scores_as_published(pieces):
    assert_as_published("".join(pieces), [7], "7")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_mutated_completions_score_as_published(data):
    characters = st.sampled_from("<>/answerthink\n 7") | st.characters()
    completion = data.draw(mutants("so</think>\n<answer>44+19+35</answer>\n", characters))
    assert_as_published(completion, [44, 19, 35], "98")


# --- strict/1


@pytest.mark.parametrize(
    ("expression", "numbers", "target", "answer", "failure"),
    [
        ("44 + 19 + 35", [44, 19, 35], "98", "98", None),
        ("\n 44 + 19 + 35 \t\n\n", [44, 19, 35], "98", "98", None),
        ("44 +\n19 + 35", [44, 19, 35], "98", None, "characters"),
        ("44 + 19 + 35 = 98", [44, 19, 35], "98", None, "characters"),
        (" \n", [44, 19, 35], "98", None, "no-answer"),
        ("7**2 - 5", [7, 2, 5], "44", None, "operator"),
        ("7//2 + 5", [7, 2, 5], "8", None, "operator"),
        ("7 * * 2", [7, 2], "49", None, "invalid"),
        ("-2 * 3", [2, 3], "-6", None, "operator"),
        ("-(2 * 3)", [2, 3], "-6", None, "operator"),
        ("2 * -3", [2, 3], "-6", None, "operator"),
        ("2 * ( - 3)", [2, 3], "-6", None, "operator"),
        ("+2 * 3", [2, 3], "6", None, "operator"),
        ("3 - -2", [3, 2], "5", None, "operator"),
        ("2 - 3", [2, 3], "-1", "-1", None),
        ("2 - (3)", [2, 3], "-1", "-1", None),
        ("1 / 3 * 3", [1, 3, 3], "1", "1", None),
        ("1 / 49 * 49", [1, 49, 49], "1", "1", None),
        ("1 / (1 / 49 * 49 - 1)", [1, 1, 49, 49, 1], "0", None, "invalid"),
        ("1 / 3", [1, 3], "0.33333", "1/3", "value"),
        ("1 / 3", [1, 3], "0.3333333333333333", "1/3", None),
        ("1 / 3", [1, 3], 1 / 3, "1/3", None),
        ("99999 / 100000", [99999, 100000], "1", "99999/100000", "value"),
        ("999999 / 1000000", [999999, 1000000], "1", "999999/1000000", "value"),
        ("137 / 5", [137, 5], "27.4", "137/5", None),
        ("10 / 4", [10, 4], 2.5, "5/2", None),
        ("((89 - 13) / (69 / 13))", [89, 69, 13, 13], "14.318840579710146", "988/69", None),
        ("44 + 19", [44, 19, 35], "63", None, "numbers"),
        ("5 / (2 - 2)", [5, 2, 2], "0", None, "invalid"),
        ("5 / (2 / 1 - 2)", [5, 2, 1, 2], "0", None, "invalid"),
        ("07", [7], "7", None, "invalid"),
        ("5(3)", [5, 3], "15", None, "invalid"),
        ("()", [], "0", None, "invalid"),
    ],
)
def test_strict(expression, numbers, target, answer, failure):
    verdict = score(answering(expression), numbers, target, "strict/1")
    assert (verdict.answer, verdict.failure) == (answer, failure)
    assert verdict.correct == (failure is None)
    assert verdict.reward == (1.1 if verdict.correct else 0.1)


SIGN_OR_OTHER_OPERATOR = re.compile(r"\*\*|//|(?:^|[(+\-*/]) *[+-]")


@settings(deadline=None, max_examples=400)
@given(st.text("12+-*/() ", min_size=1, max_size=12))
def test_strict_refuses_signs_and_other_operators_wherever_they_stand(expression):
    assume(expression.strip())
    refused = SIGN_OR_OTHER_OPERATOR.search(expression.strip()) is not None
    assert (score(answering(expression), [1, 2], "3", "strict/1").failure == "operator") is refused


LARGE = 2**53 - 1


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("*".join(f"{LARGE - i}/{LARGE - i - 1}" for i in range(32)), Fraction(LARGE, LARGE - 32)),
        (
            "+".join(f"(1/{10**15 + i}-1/{10**15 + i + 1})" for i in range(16)),
            Fraction(1, 10**15) - Fraction(1, 10**15 + 16),
        ),
    ],
)
def test_sixty_four_numbers_are_exact(expression, value):
    verdict = score(answering(expression), numbers_in(expression), "5", "strict/1")
    assert (verdict.answer, verdict.failure) == (str(value), "value")


@settings(deadline=None, max_examples=150)
@given(data=st.data(), numbers=NUMBERS)
def test_strict_values_are_exact(data, numbers):
    """Against Fractions put through Python's own parser."""
    expression = data.draw(expressions(numbers, operators=FOUR, signs=st.just("")))
    verdict = score(answering(expression), numbers, "98.5", "strict/1")
    fractions = "".join(f"F({part})" if part.isdigit() else part for part in _split(expression))
    try:
        value = eval(fractions, {"F": Fraction})
    except ZeroDivisionError:
        assert (verdict.answer, verdict.failure) == (None, "invalid")
        return
    assert verdict.answer == str(value)
    assert score(answering(expression), numbers, float(value), "strict/1").correct
    beside = float(value) + 1e-9 * max(1, abs(float(value)))
    assert not score(answering(expression), numbers, beside, "strict/1").correct
    # Both scorers spell a value alike, whatever floats made of it.
    assert score(answering(expression), numbers, "98.5").answer in (str(value), None)


def _split(expression):
    return "".join(c if c.isdigit() else f" {c} " for c in expression).split()


@pytest.mark.skipif(not PUBLISHED_DATA.exists(), reason="the published file may not be shipped with the project")
@pytest.mark.parametrize("scorer", SCORERS)
def test_published_solutions_are_right(scorer):
    """Fractional targets, some off in the last places, included; none of them misses by its value.

    19 rows come without a solution, and 15 with one that does not use the given numbers.
    """
    unsolved = 0
    for row in json.loads(PUBLISHED_DATA.read_text()):
        verdict = score(answering(row["solution"]), row["numbers"], row["target"], scorer)
        assert verdict.reward == reward(answering(row["solution"]), row["numbers"], row["target"])
        unsolved += not verdict.correct
        assert verdict.correct or verdict.failure != "value"
    assert unsolved == 34


# --- answers and failures


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("9**40", "147808829414345923316083210206383297601"),
        ("9**42", None),
        ("9**665", None),
        ("9**65000", None),
        ("(1/3)**99", None),
        ("9**39/9", "1824800363140073226598447002251427840"),
        ("9**300 / 1", None),
        ("5 / 9**99", "1.6941878773195618e-94"),
        ("1/2**2000", "0"),
        ("((1/2)**-999)**2", None),
        ("(9/2)**300*(9/2)**300", None),
    ],
)
def test_answers_are_short(expression, answer):
    verdict = score(answering(expression), numbers_in(expression), "5")
    if answer is None:
        assert verdict.answer is None or len(verdict.answer) <= 40
    else:
        assert verdict.answer == answer


def test_equal_values_have_equal_answers():
    same = ["137 / 5", "5 * 137 / 5**2", "(137 - 0) / 5", "137 * 5**-1", "-137 / -5", "137//1 / 5"]
    assert {score(answering(text), numbers_in(text), "0").answer for text in same} == {"137/5"}
    whole = ["8", "16 / 2", "2**3", "64**(1/2)", "17 // 2", "17 / 1 // 2", "- -8"]
    assert {score(answering(text), numbers_in(text), "0").answer for text in whole} == {"8"}


@settings(deadline=None, max_examples=150)
@given(data=st.data(), numbers=NUMBERS, scorer=st.sampled_from(SCORERS))
def test_verdicts_are_consistent(data, numbers, scorer):
    completion = data.draw(mutants(answering(data.draw(expressions(numbers))), st.characters()))
    verdict = score(completion, numbers, "7", scorer)
    assert verdict.failure is None or verdict.failure in FAILURES
    assert verdict.correct == (verdict.failure is None) == (verdict.reward >= 1)
    assert verdict.answer is None or verdict.failure in (None, "value")
    assert verdict.answer is None or 0 < len(verdict.answer) <= 40
    assert score(completion, list(reversed(numbers)), 7.0, scorer) == verdict


def test_an_unknown_scorer_is_a_usage_error():
    with pytest.raises(UsageError, match=r"es-paper/2.*es-paper/1, strict/1"):
        score("", [1], "1", "es-paper/2")


def test_the_default_scorer_comes_first():
    assert SCORERS == ("es-paper/1", "strict/1", "es-at-scale/1", "lenient/1")
    assert score(answering("7//2"), [7, 2], "3") == score(answering("7//2"), [7, 2], "3", SCORERS[0])


# --- whatever a model writes


def hostile(size):
    """Completions of about ``size`` characters that cost a careless scorer quadratic time or its life."""
    for unit in (
        "<think>", "</think>", "<answer>", "</answer>", "</answer", "<answer></answe", "</think>\n<answer>",
        "<answer>1</answer>", "\0", "\ud800", "\udfff<answer>1</answer>", "\U0001f600", "\n", "\x1c", "\u0661",
    ):  # fmt: skip
        yield unit * (size // len(unit))
        yield unit * (size // len(unit)) + answering("1")
        yield answering("1") + unit * (size // len(unit))
        yield answering("1" + unit * (size // len(unit)))
    for unit in ("(", ")", "()", "-", "- ", "-(", "+-", "*", "**", "/", "//", " ", "1 ", "1+", "1**", "9", "0", "1("):
        yield answering(unit * (size // len(unit)))
        yield answering("1+" + unit * (size // len(unit)) + "1")
        yield answering("(" * (size // 2) + unit + ")" * (size // 2))


@pytest.mark.parametrize("size", [6_000, 100_000])
def test_long_answers_fail_for_the_first_reason_that_applies(size):
    """However early it is seen that there are too many numbers or parentheses."""
    words = {
        name: [score(f"<answer>{answer}</answer>", [44, 19, 35], "98", scorer).failure for scorer in SCORERS[:2]]
        for name, answer in long(size)
    }
    assert words == {
        "1+": ["numbers", "numbers"],
        "+19": ["numbers", "operator"],
        "nested": ["numbers", "numbers"],
        "nested, numbers right": ["invalid", "invalid"],
        "calls": ["invalid", "invalid"],
        "closed": ["invalid", "invalid"],
        "spaced digits": ["numbers", "numbers"],
        "signs": ["invalid", "operator"],
        "digits": ["numbers", "numbers"],
        "zeros": ["invalid", "invalid"],
        "times": ["invalid", "invalid"],
        "spaces": [None, None],
    }


@pytest.mark.parametrize("scorer", SCORERS)
def test_hostile_completions_end(scorer):
    """A guard against quadratic time (hours at this size), not a measurement."""
    start = time.monotonic()
    for completion in hostile(100_000):
        verdict = score(completion, [1, 1], "2", scorer)
        assert verdict.correct == (verdict.failure is None)
    assert time.monotonic() - start < 30


def test_hostile_completions_score_as_published():
    """Short ones: the published pattern takes quadratic time on unclosed tags."""
    for completion in hostile(300):
        assert_as_published(completion, [1, 1], "2")


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("unit", ["<answer>", "x", "\ud800", "</think>\n<answer>("])
def test_ten_megabytes(unit, scorer):
    completion = unit * (10_000_000 // len(unit))
    assert score(completion, [44, 19, 35], "98", scorer).failure == "no-answer"
    assert score(completion + "</answer>" + answering("44+19+35"), [44, 19, 35], "98", scorer).correct


@settings(deadline=None, max_examples=150)
@given(text=st.text(st.characters(exclude_categories=())), scorer=st.sampled_from(SCORERS))
def test_any_text_is_scored(text, scorer):
    for completion in (text, answering(text), text + answering("7")):
        assert score(completion, [7], "7", scorer).failure in (None, *FAILURES)


@pytest.mark.parametrize("spaced", ["1 +{}2", "{}1 + 2", "1 + 2{}", "1{}+{}2", "({}1{}+ 2)"])
def test_any_number_of_spaces_is_as_good_as_one(spaced):
    many = spaced.replace("{}", " " * 1000)
    assert score(answering(many), [1, 2], "3") == score(answering(spaced.replace("{}", " ")), [1, 2], "3")
    assert score(answering(many), [1, 2], "3").correct
    assert_as_published(answering(many), [1, 2], "3")
    assert not score(answering("1" + " " * 1000 + "2"), [12], "12").correct
