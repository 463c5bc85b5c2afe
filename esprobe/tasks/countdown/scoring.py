"""What a Countdown completion earns, by scorer.

Owns where a completion's answer stands, and when it is right. Does not know problems, prompts, or how expressions
are read and computed.

``es-paper/1`` pays what the ES paper's published reward pays, on every string on which that one terminates; it
never hands model text to ``eval``. The exceptions:

- 2,901 or more signs (``- - -5``) stacked on one operand are no answer. Python's own limit is 2,990 less three for
  every frame on the call stack in 3.11 and 3.12, and about 5,970 in 3.13.
- Integers beyond 2**15 bits are known by size and parity only. An answer is not counted if it hangs on more: on the
  difference or the quotient of two such numbers of similar size (``99**(98 * 97) // 98**(99 * 97)``), or on the
  parity of a quotient of one. That takes five given numbers at least, if none exceeds 99. An integer beyond 2**28
  bits, on which CPython works for minutes, counts as one that never ends: no answer.
- A number of more than 4,300 digits makes the published code raise; here it is a wrong number.

``strict/1`` has the same format part, and takes an answer for what mathematics makes of it: exact rational
arithmetic, the four operations between two values each (no ``**``, ``//``, and no signs: from 2 and 3 the game does
not reach -6), white space around the answer ignored.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from esprobe.errors import UsageError
from esprobe.spec import Score
from esprobe.tasks.countdown.arithmetic import Number, exact_value, python_value
from esprobe.tasks.countdown.grammar import Postfix, parse

FAILURES: Mapping[str, str] = {
    "no-answer": "no answer block, or an empty one",
    "characters": "the answer holds characters other than digits, + - * / ( ) and spaces",
    "operator": "strict only: ** or //, or a sign instead of an operation between two values",
    "numbers": "the answer does not use exactly the given numbers, each once",
    "invalid": "the answer is no expression with a value: unreadable, divides by zero, or grows without bound",
    "value": "the answer is well formed and uses the given numbers, but misses the target",
}
"""Why an answer is not correct, in the order of testing: the first that applies."""

_FORMAT_WEIGHT = 0.1
_TOLERANCE = 1e-5
# The published targets that are not integers were computed in floats and printed: some are off by two units in the
# last place. Rationals that four numbers up to 99 can reach lie further apart than this.
_ROUNDING = Fraction(1, 10**12)
_MOST_ANSWER_CHARACTERS = 40
_MOST_DENOMINATOR = 10**6
_MOST_DIGITS = 640  # the fewest that Python's int() may be set to refuse

_CHARACTERS = re.compile(r"[0-9+\-*/() ]+")
_DIGITS = re.compile(r"[0-9]+")
_NOT_AN_OPERATION = re.compile(r"\*\*|//|(?:^|[(+\-*/]) *[+-]")

Verdict = tuple[str | None, str | None]
"""Canonical answer and failure."""


def score(completion: str, numbers: list[int], target: str | float, scorer: str = "es-paper/1") -> Score:
    """One scorer's verdict on a completion; takes linear time and raises nothing, whatever a model wrote.

    Args:
        completion: the text after the prompt, special tokens removed.
        numbers: the given numbers.
        target: the value to reach, as the data have it: "98", "27.4" or a number.
        scorer: one of ``SCORERS``.

    Raises:
        UsageError: there is no such scorer.
        ValueError: ``target`` is not a number.
    """
    judge = _JUDGES.get(scorer)
    if judge is None:
        raise UsageError(
            f"no scorer is called {scorer!r}, so nothing can be scored; Countdown has {', '.join(SCORERS)}"
        )
    content = _last_answer(completion)
    answer, failure = judge(content, numbers, target)
    correct = failure is None
    reward = _format_part(completion, content is not None) * _FORMAT_WEIGHT + correct
    return Score(reward=reward, correct=correct, answer=answer, failure=failure)


def _last_answer(completion: str) -> str | None:
    """The content of the last answer block, reading blocks from left to right; None without one.

    A block runs from an opening tag to the first closing tag after it, and the next one is looked for behind that.
    So the last block is the one that holds the last opening tag with a closing tag behind it, and it begins at the
    first opening tag after the closing tag before. Linear time, where a pattern takes quadratic time on unclosed tags.
    """
    last_open = completion.rfind("<answer>", 0, max(completion.rfind("</answer>"), 0))
    if last_open < 0:
        return None
    before = completion.rfind("</answer>", 0, last_open)
    start = completion.find("<answer>", before + 1) + len("<answer>")
    return completion[start : completion.find("</answer>", start)]


def _format_part(completion: str, has_answer: bool) -> float:
    """1.0 for a think block, a newline, an answer block and the end; else 0.1 and 0.5 for having either block.

    The prompt has opened the think block. One newline may follow the end, as ``$`` allows in the published pattern.
    """
    if has_answer and completion.endswith(("</answer>", "</answer>\n")):
        end = completion.rfind("</answer>")
        if completion.find("</think>\n<answer>", 0, end) >= 0:
            return 1.0
    return (0.1 if "</think>" in completion else 0.0) + (0.5 if has_answer else 0.0)


def _judge_es_paper(content: str | None, numbers: Sequence[int], target: str | float) -> Verdict:
    goal = float(target)
    if not content or content.isspace():
        return None, "no-answer"
    # One newline may end the answer, none may begin it: the ``$`` of the published pattern.
    if not _CHARACTERS.fullmatch(content.removesuffix("\n")):
        return None, "characters"
    if not _uses_exactly(content, numbers):
        return None, "numbers"
    expression = parse(content)
    if expression is None:
        return None, "invalid"
    try:
        value = python_value(expression)
    except ArithmeticError:
        return None, "invalid"
    try:
        is_near = abs(float(value) - goal) < _TOLERANCE
    except OverflowError:
        is_near = False
    return _canonical(value, expression), None if is_near else "value"


def _judge_strict(content: str | None, numbers: Sequence[int], target: str | float) -> Verdict:
    goal = Fraction(target)
    content = (content or "").strip()
    if not content:
        return None, "no-answer"
    if not _CHARACTERS.fullmatch(content):
        return None, "characters"
    if _NOT_AN_OPERATION.search(content):
        return None, "operator"
    if not _uses_exactly(content, numbers):
        return None, "numbers"
    expression = parse(content)
    if expression is None:
        return None, "invalid"
    try:
        value = exact_value(expression)
    except ZeroDivisionError:
        return None, "invalid"
    # A target that is not an integer is a rounded decimal of the rational that is meant.
    is_right = value == goal if goal.denominator == 1 else abs(value - goal) <= _ROUNDING * max(Fraction(1), abs(goal))
    return _short(value), None if is_right else "value"


_JUDGES: Mapping[str, Callable[[str | None, Sequence[int], str | float], Verdict]] = {
    "es-paper/1": _judge_es_paper,
    "strict/1": _judge_strict,
}

SCORERS = tuple(_JUDGES)
"""The scorers, the default first."""


def _uses_exactly(content: str, numbers: Sequence[int]) -> bool:
    """Whether the numbers in the text, leading zeros ignored, are the given ones, each as often as given."""
    written = _DIGITS.findall(content)
    if len(written) != len(numbers):
        return False
    significant = [digits.lstrip("0") for digits in written]
    if max(map(len, significant), default=0) > _MOST_DIGITS:
        return False
    return sorted([int(digits or 0) for digits in significant]) == sorted(numbers)


def _canonical(value: Number, expression: Postfix) -> str | None:
    """The value's one spelling: as an integer or a reduced fraction, else as Python prints the float.

    Exact where + - * / gave it. A float from other operations stands for the rational of small denominator that it
    rounds, so that 27.4 is 137/5 whichever way it came. None if not finite or longer than 40 characters.
    """
    if isinstance(value, int):
        return _short(value)
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    try:
        return _short(exact_value(expression))
    except (KeyError, ZeroDivisionError):  # another operator, or a divisor that only rounding keeps from 0
        nearest = Fraction(value).limit_denominator(_MOST_DENOMINATOR)
        return _short(nearest) if abs(nearest - Fraction(value)) <= _ROUNDING * abs(nearest) else repr(value)


def _short(value: int | Fraction) -> str | None:
    # Bits first: Python refuses to print integers of thousands of digits.
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 4 * _MOST_ANSWER_CHARACTERS:
        return None
    text = str(value)
    return text if len(text) <= _MOST_ANSWER_CHARACTERS else None
