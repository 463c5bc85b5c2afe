"""When two answers are equal: by value, for votes, and by expression, for diversity.

Owns the two equivalences. Does not know which answers are correct.

Two expressions are the same if one becomes the other by reordering and regrouping sums and products, where
``a - b`` is ``a + (-b)`` and ``a / b`` is ``a * (1/b)``, and by moving signs: ``-(a * b)`` is ``(-a) * b`` and
``-(a - b)`` is ``b - a``. So with three different numbers there are 68 expressions of + - * /, with four 1,170. Numbers
are not simplified: ``6 * 1`` and ``6 / 1`` are two expressions. ``**`` and ``//`` (which only es-paper counts) are
never regrouped.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from esprobe.tasks.countdown.answers import CHARACTERS, last_answer, uses_exactly
from esprobe.tasks.countdown.grammar import NEGATE, parse

# What a scorer stores: an integer, a reduced fraction, or a float as Python prints it.
_VALUE = re.compile(r"-?[0-9]+(/[0-9]+|(\.[0-9]+)?(e[+-][0-9]{1,3})?)")
_LONGEST = 40


def value(answer: str | None) -> Fraction | None:
    """The exact value of a stored canonical answer; None if it has none, or is longer than any canonical answer.

    A scorer stores an answer only if it uses exactly the given numbers and has a value, so None covers answers that
    are missing, malformed or of other numbers. Bounded: no spelling of 40 characters is costly to read.
    """
    if answer is None or len(answer) > _LONGEST or not _VALUE.fullmatch(answer):
        return None
    try:
        return Fraction(answer)
    except ZeroDivisionError:
        return None


def expression(completion: str, numbers: Sequence[int]) -> str | None:
    """The normal form of the completion's answer, shared by all expressions equal to it.

    None if there is no answer, or it is not an expression of exactly the given numbers. Its value does not matter:
    a division by zero has a normal form, too. White space around the answer is ignored. Takes linear time in the
    completion and at most quadratic time in the count of numbers.
    """
    content = (last_answer(completion) or "").strip()
    if not CHARACTERS.fullmatch(content) or not uses_exactly(content, numbers):
        return None
    postfix = parse(content)
    if postfix is None:
        return None
    stack: list[_Form] = []
    for item in postfix:
        if isinstance(item, int):
            stack.append(_Form("", str(item)))
        elif item == NEGATE:
            stack[-1] = stack[-1].negated()
        else:
            right = stack.pop()
            stack[-1] = _joined(item, stack[-1], right)
    return stack[0].spelled


_Part = tuple[bool, str]
"""A term and whether it is subtracted, or a factor and whether it divides."""


@dataclass(frozen=True, slots=True)
class _Form:
    """A normal form: a sign and an unsigned expression.

    Attributes:
        operator: "+" for a sum, "*" for a product, "" for anything else, which is never regrouped.
        text: the normal form without the sign.
        negative: the sign.
        parts: the terms of a sum or factors of a product, in order.
    """

    operator: str
    text: str
    negative: bool = False
    parts: tuple[_Part, ...] = ()

    @property
    def spelled(self) -> str:
        """The normal form including the sign."""
        if not self.negative:
            return self.text
        return f"-({self.text})" if self.operator else f"-{self.text}"

    @property
    def terms(self) -> list[_Part]:
        """The terms this contributes to a sum."""
        if self.operator == "+":
            return [(taken != self.negative, text) for taken, text in self.parts]
        return [(self.negative, self.text)]

    @property
    def factors(self) -> Sequence[_Part]:
        """The factors this contributes to a product, without its sign."""
        if self.operator == "*":
            return self.parts
        return [(False, f"({self.text})" if self.operator else self.text)]

    def negated(self) -> "_Form":
        """This form with the opposite sign."""
        if self.operator == "+":
            return _sum(_inverted(self.terms))
        return _Form(self.operator, self.text, not self.negative, self.parts)


def _joined(operator: str, left: _Form, right: _Form) -> _Form:
    if operator == "+":
        return _sum([*left.terms, *right.terms])
    if operator == "-":
        return _sum([*left.terms, *_inverted(right.terms)])
    if operator in ("*", "/"):
        factors = right.factors if operator == "*" else _inverted(right.factors)
        parts = tuple(sorted([*left.factors, *factors], key=_factor_order))
        return _Form("*", _chain(parts, " * ", " / "), left.negative != right.negative, parts)
    return _Form("", f"({left.spelled} {operator} {right.spelled})")


def _sum(terms: Iterable[_Part]) -> _Form:
    """A sum and its negation share one form and differ in sign; a sum equal to its negation is zero, without sign."""
    parts = sorted(terms, key=_term_order)
    opposite = sorted(_inverted(parts), key=_term_order)
    negative = list(map(_term_order, opposite)) < list(map(_term_order, parts))
    chosen = tuple(opposite if negative else parts)
    return _Form("+", _chain(chosen, " + ", " - "), negative, chosen)


def _inverted(parts: Iterable[_Part]) -> list[_Part]:
    return [(not flipped, text) for flipped, text in parts]


def _chain(parts: Sequence[_Part], direct: str, inverse: str) -> str:
    # The sort order puts a part first that is neither subtracted nor a divisor.
    return parts[0][1] + "".join((inverse if flipped else direct) + text for flipped, text in parts[1:])


def _order(text: str) -> tuple[bool, int, str]:
    """Compound parts first, then numbers from the largest."""
    return (text.isdigit(), -int(text) if text.isdigit() else 0, text)


def _term_order(part: _Part) -> tuple[bool, int, str, bool]:
    taken, text = part
    return (*_order(text), taken)


def _factor_order(part: _Part) -> tuple[bool, bool, int, str]:
    divides, text = part
    return (divides, *_order(text))
