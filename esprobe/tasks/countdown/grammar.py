"""The grammar of an answer: Python's, over digits, + - * /, parentheses and spaces.

Owns which strings are expressions and how they group. Does not know what an operation computes, which numbers
were given, or which answer is correct.

A parser of its own, because model text must not reach ``eval`` and ``ast.parse`` cannot keep scoring below a
millisecond: 5 kB of redundant parentheses, calls or signs take it 4 to 6 ms, and this parser 0.2 ms at most (CPython
3.11, ``python -m tests.tasks.parsing_time``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

Postfix = Sequence[int | str]
"""Operands and operators in postfix order: ``1 - -2`` is ``[1, 2, NEGATE, "-"]``."""

NEGATE = "~"

# A run of signs and open parentheses between two operands is one token, and so is a run of closing parentheses: ten
# thousand of them cost little more than a few.
_TOKEN = re.compile(r"[0-9]+|[+(-][+( -]*|\*\*?|//?|[)][) ]*")

# Limits of CPython's parser (measured on 3.11, 3.12 and 3.13, the same to within 2): 200 open parentheses, and
# 5,974 levels of which an open parenthesis takes 28 and a sign 1. Beyond that it raises, so the text is no expression.
_MOST_PARENTHESES = 200
_MOST_LEVELS = 5974
_LEVELS_PER_PARENTHESIS = 28
# Before 3.13 its compiler rejects about 2,990 signs on one operand, less 3 for each frame on the call stack.
_MOST_SIGNS = 2900


@dataclass(frozen=True, slots=True)  # whose attributes are read faster than a named tuple's
class _Pending:
    """An operator, or one or more open parentheses, on the stack until their right side is read."""

    binding: int
    yields_to: int  # first emit pending operators that bind at least this tightly
    emits: str
    signs: int = 0
    opened: str = ""  # the parentheses with the signs before each, which are applied as they close


_OPEN = _Pending(binding=0, yields_to=0, emits="", opened="(")
_BINARY = {
    "+": _Pending(1, 1, "+"),
    "-": _Pending(1, 1, "-"),
    "*": _Pending(2, 2, "*"),
    "/": _Pending(2, 2, "/"),
    "//": _Pending(2, 2, "//"),
    # Groups to the right, and its left operand takes no sign: -2**2 is -(2**2), 2**-3**2 is 2**(-(3**2)).
    "**": _Pending(4, 5, "**"),
}


def _negation(signs: str) -> str:
    return NEGATE if signs.count("-") % 2 else ""


@lru_cache(maxsize=256)
def _waiting_for(run: str) -> tuple[_Pending, ...]:
    """The stack entries for a run of signs and open parentheses (without spaces) before an operand."""
    opened, parenthesis, signs = run.rpartition("(")
    waiting = (_Pending(0, 0, "", opened=opened + parenthesis),) if parenthesis else ()
    return (*waiting, _Pending(3, 0, _negation(signs), len(signs))) if signs else waiting


def _parted(opened: str, closed: int) -> tuple[str, str, int]:
    """Close the innermost of a run of parentheses, or all: the rest outside, the signs inside, how many were closed.

    ``-(+(--(`` with two closed is ``-(+``, ``--`` and 2.
    """
    count = opened.count("(")
    if count <= closed:
        outside, _, inside = opened.partition("(")
        return outside, inside.replace("(", ""), count
    outside, *parts = opened.rsplit("(", closed)
    return outside, "".join(parts), closed


def parse(text: str) -> Postfix | None:
    """The expression in postfix order, None where Python would not evaluate it to a number.

    None covers syntax errors (``07``, ``1 2``, ``2 +``, nesting beyond Python's limits) and what parses but never
    evaluates to a number: calls such as ``5(3)`` and the empty tuple ``()``.

    Args:
        text: only ``0-9 + - * / ( )``, spaces and newlines; a number without leading zeros has at most 640 digits.
    """
    output: list[int | str] = []
    waiting = [_OPEN]
    parentheses = signs = 0
    operand_next = True
    for match in _TOKEN.finditer(text):  # lazily: most malformed texts are rejected after a few tokens
        token = match[0]
        if not operand_next:
            if token[0] == ")":
                closed = token.count(")")
                parentheses -= closed
                if parentheses < 0:
                    return None
                while closed:
                    while not (top := waiting.pop()).opened:
                        if top.emits:
                            output.append(top.emits)
                        signs -= top.signs
                    outside, inside, parted = _parted(top.opened, closed)
                    closed -= parted
                    signs -= len(inside)
                    if negation := _negation(inside):
                        output.append(negation)
                    waiting.extend(_waiting_for(outside))  # a following ** binds more tightly than the signs outside
                continue
            is_sign = token[0] in "+-"
            operator = _BINARY.get(token[0] if is_sign else token)
            if operator is None:
                return None
            while waiting[-1].binding >= operator.yields_to:
                top = waiting.pop()
                if top.emits:
                    output.append(top.emits)
                signs -= top.signs
            waiting.append(operator)
            operand_next = True
            token = token[1:].strip() if is_sign else ""
            if not token:
                continue
        if token.isdigit():
            if token[0] == "0":
                if token.strip("0"):
                    return None
                token = "0"  # int() rejects thousands of zeros, Python's parser does not
            output.append(int(token))
            operand_next = False
        elif token[0] in "+-(":
            run = token.replace(" ", "")
            opened = run.count("(")
            parentheses += opened
            signs += len(run) - opened
            if (
                parentheses > _MOST_PARENTHESES
                or signs > _MOST_SIGNS
                or _LEVELS_PER_PARENTHESIS * parentheses + signs > _MOST_LEVELS
            ):
                return None
            waiting.extend(_waiting_for(run))
        else:
            return None
    if operand_next or parentheses:
        return None
    output.extend(top.emits for top in reversed(waiting) if top.emits)
    return output
