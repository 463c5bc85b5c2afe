"""The value of an expression: as Python computes it, but in bounded time; or exactly.

Owns the operations and the largest numbers they compute. Does not know how expressions are written, or which values
are correct. An expression without a real value, such as a division by zero, raises ``ArithmeticError``.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import inf, log2
from typing import Any, NamedTuple, TypeAlias

from esprobe.tasks.countdown.grammar import NEGATE, Postfix

# Integers of this size are computed: a power or a product then takes 0.05 ms, a quotient 0.1 ms.
_COMPUTED_BITS = 2**14
# One expression may take as long as three powers of that size (0.13 ms); sixty-four numbers could form thirty-two.
# Whatever six numbers up to 99 form beyond that is too large for any target.
_MOST_WORK = 3.0
# A float holds nothing from 2**1024 on and rounds what is below 2**-1075 to 0; the rest is margin for log2.
_BEYOND_FLOAT_BITS = 1100
# CPython works for minutes on a power of this size: from here on the published reward does not terminate.
_ENDLESS_BITS = 2**28


class UndecidedError(ArithmeticError):
    """The value depends on digits of a number too large to compute here."""


class EndlessError(ArithmeticError):
    """Python would take minutes to compute this."""


@dataclass(slots=True)  # not frozen, which would take three times as long to make
class HugeInteger:
    """An integer too large to compute here, represented by sign, size and, where known, parity.

    That decides nearly every operation: as a divisor it gives 0 or -1, with a float it overflows, and it is near no
    target. Operations give what Python's give for every integer with these attributes, exceptions included, and
    raise UndecidedError where the result depends on the digits.

    Attributes:
        sign: 1 or -1 (and 0 for a zero operand).
        size: log2 of the magnitude, good to 1e-6, because no size exceeds 2**28.
        is_odd: None if unknown.
    """

    sign: int
    size: float
    is_odd: bool | None

    def __float__(self) -> float:
        raise OverflowError("int too large to convert to float")

    def __neg__(self) -> "HugeInteger":
        return HugeInteger(-self.sign, self.size, self.is_odd)

    def __add__(self, other: "Number") -> "Number":
        return _sum(self, _sized(other))

    def __sub__(self, other: "Number") -> "Number":
        return _sum(self, -_sized(other))

    def __rsub__(self, other: "Number") -> "Number":
        return _sum(-self, _sized(other))

    def __mul__(self, other: "Number") -> "Number":
        return _product_of(self, _sized(other))

    def __truediv__(self, other: "Number") -> "Number":
        return _ratio(self, _sized(other))

    def __rtruediv__(self, other: "Number") -> "Number":
        return _ratio(_sized(other), self)

    def __floordiv__(self, other: "Number") -> "Number":
        return _floor_ratio(self, _sized(other))

    def __rfloordiv__(self, other: "Number") -> "Number":
        return _floor_ratio(_sized(other), self)

    def __pow__(self, other: "Number") -> "Number":
        return _power_of(self, other)

    def __rpow__(self, other: "Number") -> "Number":
        return _power_to(other, self)

    __radd__ = __add__
    __rmul__ = __mul__


Number: TypeAlias = int | float | HugeInteger


def python_value(expression: Postfix) -> Number:
    """The value by Python's operators: ints, floats by true division, huge integers by size.

    Raises:
        ArithmeticError: where Python raises or the value is complex, and, as UndecidedError or EndlessError, where the
            computation would take too long. (A complex number never becomes real again, so it raises at once.)
    """
    if "**" not in expression:  # nothing grows beyond the given numbers' product
        found: Number = _evaluate(expression, int, _PYTHON)
        return found
    budget = _Budget()
    operators = {**_PYTHON, "*": budget.product, "//": budget.floor_quotient, "**": budget.power}
    value: Number = _evaluate(expression, int, operators)
    return value


def exact_value(expression: Postfix) -> int | Fraction:
    """The exact value of an expression of + - * / and signs.

    Raises:
        ArithmeticError: the expression divides by zero.
        KeyError: it has another operator.
    """
    if "/" not in expression:  # most of what models write, and three times as fast without denominators
        whole: int = _evaluate(expression, int, _WHOLE)
        return whole
    value: _Ratio = _evaluate(expression, _Ratio, _EXACT)
    return value.numerator if value.denominator == 1 else Fraction(value.numerator, value.denominator)


def _evaluate(
    expression: Postfix, operand: Callable[[int], Any], operators: Mapping[str, Callable[[Any, Any], Any]]
) -> Any:
    stack: list[Any] = []
    negated = False  # -(-(x)) is x, and x may be large, and the parentheses hundreds
    for item in expression:
        if item == NEGATE:
            negated = not negated
            continue
        if negated:
            stack[-1] = -stack[-1]
            negated = False
        if isinstance(item, int):
            stack.append(operand(item))
        else:
            right = stack.pop()
            stack[-1] = operators[item](stack[-1], right)
    return -stack[0] if negated else stack[0]


class _Budget:
    """The operations whose time grows faster than their operands, limited to a total cost for one expression.

    Results beyond the remaining budget are represented by size and parity only. Integers that a float can hold are
    always computed.
    """

    def __init__(self) -> None:
        self._left = _MOST_WORK

    def _affords(self, left_bits: int, right_bits: int, weight: float = 1.0) -> bool:
        """Spend what a multiplication of this size costs (Karatsuba for long ones); False if too little is left."""
        work = weight * (left_bits * right_bits / (_COMPUTED_BITS / 2) ** 2) ** 0.8
        if work > self._left:
            return False
        self._left -= work
        return True

    def product(self, left: Number, right: Number) -> Number:
        if isinstance(left, int) and isinstance(right, int):
            sizes = left.bit_length(), right.bit_length()
            bits = sum(sizes) - 2  # or up to two more
            if bits > _BEYOND_FLOAT_BITS and not (bits <= _COMPUTED_BITS - 2 and self._affords(*sizes)):
                return _product_of(_sized(left), _sized(right))
        return left * right

    def floor_quotient(self, left: Number, right: Number) -> Number:
        if isinstance(left, int) and isinstance(right, int) and right:
            bits, divisor = left.bit_length(), right.bit_length()
            # Schoolbook division: each digit of the quotient takes one pass over the divisor and a constant.
            if bits > _BEYOND_FLOAT_BITS and not self._affords(max(bits - divisor, 30), divisor + 500, weight=2):
                return _floor_ratio(_sized(left), _sized(right))
        value: Number = left // right
        return value

    def power(self, left: Number, right: Number) -> Number:
        if isinstance(left, int) and isinstance(right, int) and right >= 0:
            if -1 <= left <= 1:  # CPython loops over every bit of the exponent here too
                return left if right % 2 else abs(left) if right else 1
            if right > _ENDLESS_BITS:
                raise EndlessError("too large for Python, too")
            bits = log2(abs(left)) * right
            half = int(bits / 2)  # the last step squares a number of half the size
            if bits > _COMPUTED_BITS or (bits > _BEYOND_FLOAT_BITS and right > 1 and not self._affords(half, half)):
                return _power_of(_sized(left), right)
        value: Any = left**right
        if isinstance(value, complex):
            raise ArithmeticError("not real")
        result: Number = value
        return result


_PYTHON: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
}


_WHOLE: Mapping[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


class _Ratio(NamedTuple):
    """An exact value that is reduced once at the end, where Fraction computes a gcd after every operation."""

    numerator: int
    denominator: int = 1

    def __neg__(self) -> "_Ratio":
        return _Ratio(-self.numerator, self.denominator)


def _exact_sum(left: _Ratio, right: _Ratio) -> _Ratio:
    (a, b), (c, d) = left, right
    return _Ratio(a * d + c * b, b * d)


def _exact_quotient(left: _Ratio, right: _Ratio) -> _Ratio:
    (a, b), (c, d) = left, right
    if c == 0:
        raise ZeroDivisionError("division by zero")
    return _Ratio(a * d, b * c)


_EXACT: Mapping[str, Callable[[_Ratio, _Ratio], _Ratio]] = {
    "+": _exact_sum,
    "-": lambda left, right: _exact_sum(left, -right),
    "*": lambda left, right: _Ratio(left.numerator * right.numerator, left.denominator * right.denominator),
    "/": _exact_quotient,
}


def _sized(value: Number) -> HugeInteger:
    """Any integer as sign, size and parity; a float with a huge integer overflows, as in Python."""
    if isinstance(value, HugeInteger):
        return value
    if isinstance(value, float):
        raise OverflowError("int too large to convert to float")
    if value == 0:
        return HugeInteger(0, -inf, False)
    return HugeInteger(1 if value > 0 else -1, log2(abs(value)), value % 2 == 1)


def _huge(sign: int, size: float, is_odd: bool | None) -> HugeInteger:
    if size > _ENDLESS_BITS:
        raise EndlessError("too large for Python, too")
    if size < _BEYOND_FLOAT_BITS:
        raise UndecidedError("small enough to matter, but its digits are unknown")
    return HugeInteger(sign, size, is_odd)


def _sum(left: HugeInteger, right: HugeInteger) -> Number:
    large, small = (left, right) if left.size >= right.size else (right, left)
    gap = large.size - small.size
    opposed = large.sign == -small.sign
    if opposed and gap < 1:
        raise UndecidedError("the difference of two large numbers of one size")
    is_odd = None if left.is_odd is None or right.is_odd is None else left.is_odd != right.is_odd
    return _huge(large.sign, large.size + log2(1 - 2**-gap if opposed else 1 + 2**-gap), is_odd)


def _product_of(left: HugeInteger, right: HugeInteger) -> Number:
    if left.sign == 0 or right.sign == 0:
        return 0
    is_odd = None if left.is_odd is None or right.is_odd is None else left.is_odd and right.is_odd
    return _huge(left.sign * right.sign, left.size + right.size, is_odd)


def _ratio(left: HugeInteger, right: HugeInteger) -> Number:
    if right.sign == 0:
        raise ZeroDivisionError("division by zero")
    gap = left.size - right.size
    if gap < -_BEYOND_FLOAT_BITS:
        return 0.0  # of either sign: the sign of a zero never changes a result
    if gap > _BEYOND_FLOAT_BITS:
        raise OverflowError("integer division result too large for a float")
    raise UndecidedError("the ratio of two large numbers of similar size")


def _floor_ratio(left: HugeInteger, right: HugeInteger) -> Number:
    if right.sign == 0:
        raise ZeroDivisionError("integer division or modulo by zero")
    gap = left.size - right.size
    if gap < -1:
        return -1 if left.sign * right.sign < 0 else 0
    if right.size == 0:  # by 1 or -1
        return HugeInteger(left.sign * right.sign, left.size, left.is_odd)
    return _huge(left.sign * right.sign, gap, None)


def _power_of(base: HugeInteger, exponent: Number) -> Number:
    if isinstance(exponent, HugeInteger):
        return _power_to(base, exponent)
    if isinstance(exponent, float) or exponent < 0:
        raise OverflowError("int too large to convert to float")
    if exponent == 0:
        return 1
    return _huge(base.sign if exponent % 2 else 1, base.size * exponent, base.is_odd)


def _power_to(base: Number, exponent: HugeInteger) -> Number:
    if isinstance(base, float) or exponent.sign < 0:
        raise OverflowError("int too large to convert to float")
    if isinstance(base, HugeInteger) or abs(base) > 1:
        raise EndlessError("too large for Python, too")
    if base == -1 and exponent.is_odd is None:
        raise UndecidedError("a sign that depends on the parity of a large number")
    return base if exponent.is_odd else abs(base)
