"""Arithmetic expressions as trees, and their shortest spelling.

Owns the tree and how it is written. Does not evaluate: the scorer does, from text.
"""

from typing import Literal, TypeAlias

Operator: TypeAlias = Literal["+", "-", "*", "/"]
Expression: TypeAlias = "int | tuple[Operator, Expression, Expression]"


def flat(expression: Expression) -> str:
    """The expression without redundant parentheses, larger terms first, added before subtracted.

    ``44 - (19 - 35)`` becomes ``44 + 35 - 19``: the many trees of one sum or product have one spelling.
    """
    return _join(_parts(expression, "+", "-"), "+", "-")


def _parts(expression: Expression, direct: Operator, inverse: Operator) -> list[tuple[bool, Expression]]:
    """The terms (or factors) of a chain, each with whether it is added (multiplied) or subtracted (divided by)."""
    if isinstance(expression, int) or expression[0] not in (direct, inverse):
        return [(True, expression)]
    operator, left, right = expression
    same = operator == direct
    rest = [(kept == same, part) for kept, part in _parts(right, direct, inverse)]
    return _parts(left, direct, inverse) + rest


def _join(parts: list[tuple[bool, Expression]], direct: Operator, inverse: Operator) -> str:
    spelled = sorted(((not kept, _spell(part, direct)) for kept, part in parts), key=_order)
    text = spelled[0][1]
    for taken, part in spelled[1:]:
        text += f" {inverse if taken else direct} {part}"
    return text


def _order(part: tuple[bool, str]) -> tuple[bool, bool, int, str]:
    """Kept parts first; among those compound ones first, then numbers from the largest."""
    taken, text = part
    return (taken, text.isdigit(), -int(text) if text.isdigit() else 0, text)


def _spell(part: Expression, within: Operator) -> str:
    """One term of a sum or one factor of a product."""
    if isinstance(part, int):
        return str(part)
    if within == "+":
        return _join(_parts(part, "*", "/"), "*", "/")
    return f"({_join(_parts(part, '+', '-'), '+', '-')})"
