"""What a Countdown completion earns, by scorer.

Owns where a completion's answer stands, and when it is right. Does not know problems, prompts, or how expressions
are read and computed.

``es-paper/1`` pays what the ES paper's published reward pays, on every string on which that one terminates; it
never hands model text to ``eval``. The exceptions:

- 2,901 or more signs (``- - -5``) stacked on one operand are no answer. Python's own limit is 2,990 less three for
  every frame on the call stack in 3.11 and 3.12, and about 5,970 in 3.13.
- Integers beyond 2**14 bits are known by size and parity only. An answer is not counted if it hangs on more: on the
  difference or the quotient of two such numbers of similar size (``99**(98 * 97) // 98**(99 * 97)``), or on the
  parity of a quotient of one. That takes five given numbers at least, if none exceeds 99. An integer beyond 2**28
  bits, on which CPython works for minutes, counts as one that never ends: no answer.
- The same holds for integers beyond 1,100 bits that come when one expression has computed what three powers of 2**14
  bits take. That takes more than six given numbers, if none exceeds 99.
- A number of more than 4,300 digits makes the published code raise; here it is a wrong number.

``es-at-scale/1`` pays what the code that succeeded the ES paper's pays (es_at_scale/reward_function/countdown_grader.py
of VsonicV/es-at-scale at 574a9d1): the same, but white space around an answer is ignored. ``lenient/1`` pays that for
the expression that was meant, written in other ways too (``leniency``), so that wrong forms are told from inability.

``strict/1`` has the same format part, and takes an answer for what mathematics makes of it: exact rational
arithmetic, the four operations between two values each (no ``**``, ``//``, and no signs: from 2 and 3 the game does
not reach -6), white space around the answer ignored.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from esprobe.errors import UsageError
from esprobe.spec import Score
from esprobe.tasks.countdown.answers import CHARACTERS, last_answer, uses_exactly
from esprobe.tasks.countdown.arithmetic import Number, exact_value, python_value
from esprobe.tasks.countdown.grammar import Postfix, parse
from esprobe.tasks.countdown.leniency import lenient_answer, plain_expression

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
TOLERANCE = 1e-5
"""How near es-paper/1 takes for right."""

# The published targets that are not integers were computed in floats and printed: some are off by two units in the
# last place. Rationals that four numbers up to 99 can reach lie further apart than this.
_ROUNDING = Fraction(1, 10**12)
_MOST_ANSWER_CHARACTERS = 40
_MOST_DENOMINATOR = 10**6

# Signs to "s", and what they may not follow to "o"; a pattern takes seven times as long.
_SIGNS = bytes.maketrans(b"+-(*/", b"ssooo")

Verdict = tuple[str | None, str | None]
"""Canonical answer and failure."""


def score(completion: str, numbers: list[int], target: str | float, scorer: str = "es-paper/1") -> Score:
    """One scorer's verdict on a completion; takes little time (docs/scoring.md) and raises nothing.

    Args:
        completion: the text after the prompt, special tokens removed.
        numbers: the given numbers.
        target: the value to reach, as the data have it: "98", "27.4" or a number.
        scorer: one of ``SCORERS``.

    Raises:
        UsageError: there is no such scorer.
        ValueError: ``target`` is not a number.
    """
    rules = _RULES.get(scorer)
    if rules is None:
        raise UsageError(
            f"no scorer is called {scorer!r}, so nothing can be scored; Countdown has {', '.join(SCORERS)}"
        )
    goal = rules.goal(target)
    block = last_answer(completion)
    content = block if rules.found is None else rules.found(completion)
    answer, failure = _judge(rules, content or "", numbers, goal)
    correct = failure is None
    reward = _format_part(completion, block is not None) * _FORMAT_WEIGHT + correct
    return Score(reward=reward, correct=correct, answer=answer, failure=failure)


def _format_part(completion: str, has_answer: bool) -> float:
    """1.0 for a think block, a newline, an answer block and the end; else 0.1 and 0.5 for having either block.

    The prompt has opened the think block. One newline may follow the end, as ``$`` allows in the published pattern.
    """
    if has_answer and completion.endswith(("</answer>", "</answer>\n")):
        end = completion.rfind("</answer>")
        if completion.find("</think>\n<answer>", 0, end) >= 0:
            return 1.0
    return (0.1 if "</think>" in completion else 0.0) + (0.5 if has_answer else 0.0)


def _es_paper(expression: Postfix, goal: float) -> tuple[str | None, bool]:
    value = python_value(expression)
    try:
        is_near = abs(float(value) - goal) < TOLERANCE
    except OverflowError:
        is_near = False
    return _canonical(value, expression), is_near


def _has_no_such_operation(content: str) -> bool:
    """Whether ``**``, ``//`` or a sign stands in it: one at the start, or after a parenthesis or another operator."""
    if "**" in content or "//" in content:
        return True
    kinds = content.encode().translate(_SIGNS, b" ")
    return kinds.startswith(b"s") or b"ss" in kinds or b"os" in kinds


def _strict(expression: Postfix, goal: Fraction) -> tuple[str | None, bool]:
    value = exact_value(expression)
    return _short(value), is_meant(value, goal)


@dataclass(frozen=True)
class _Rules:
    """What tells one scorer from another.

    Attributes:
        trimmed: an answer without what may stand around it.
        refused: whether an answer holds what none may, though its characters are allowed; None if none does.
        goal: the target as this scorer compares it.
        verdict: canonical value of an expression, and whether it is the goal; ArithmeticError without a value.
        found: where the answer stands in a completion; None for its last answer block.
    """

    trimmed: Callable[[str], str]
    refused: Callable[[str], bool] | None
    goal: Callable[[str | float], Any]
    verdict: Callable[[Postfix, Any], tuple[str | None, bool]]
    found: Callable[[str], str | None] | None = None


_RULES: Mapping[str, _Rules] = {
    # One newline may end the answer, none may begin it: the ``$`` of the published pattern.
    "es-paper/1": _Rules(lambda content: content.removesuffix("\n"), None, float, _es_paper),
    "strict/1": _Rules(str.strip, _has_no_such_operation, Fraction, _strict),
    "es-at-scale/1": _Rules(str.strip, None, float, _es_paper),
    "lenient/1": _Rules(plain_expression, None, float, _es_paper, lenient_answer),
}

SCORERS = tuple(_RULES)
"""The scorers, the default first."""


def _judge(rules: _Rules, content: str, numbers: Sequence[int], goal: Any) -> Verdict:
    content = rules.trimmed(content)
    if not content or content.isspace():
        return None, "no-answer"
    if not CHARACTERS.fullmatch(content):
        return None, "characters"
    if rules.refused is not None and rules.refused(content):
        return None, "operator"
    if not uses_exactly(content, numbers):
        return None, "numbers"
    expression = parse(content)
    if expression is None:
        return None, "invalid"
    try:
        answer, is_right = rules.verdict(expression, goal)
    except ArithmeticError:
        return None, "invalid"
    return answer, None if is_right else "value"


def is_meant(value: int | Fraction, target: Fraction) -> bool:
    """Whether a value is the target, or what a target that is not an integer is a rounded decimal of."""
    if target.denominator == 1:
        return value == target
    return abs(value - target) <= _ROUNDING * max(Fraction(1), abs(target))


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
