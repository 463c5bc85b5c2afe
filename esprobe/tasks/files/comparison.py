"""When an answer is the gold answer: the kinds of ``compare``.

Owns canonical answers and their equality. Does not know where an answer stands in a text.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Protocol

from esprobe.tasks.files.choices import Options, label_of
from esprobe.tasks.files.keys import Key
from esprobe.tasks.files.numbers import first_number, spelled

BARE = ("exact", "number", "text", "choice", "math")
WITH_VALUE = ("number", "python")

_PUNCTUATION = " \t\n.,;:!?\"'`*"


class Comparison(Protocol):
    """One kind of ``compare``."""

    @property
    def spec(self) -> Sequence[Any]:
        """The kind and what else decides a verdict, for digests."""

    def read(self, text: str, options: Options | None) -> str | None:
        """The canonical form of an extracted answer; None if it is not of the kind's form."""

    def equal(self, gold: str, answer: str, inputs: Mapping[str, Any]) -> bool:
        """Whether an answer is right, both in canonical form.

        Raises:
            TimeoutError: finding out takes too long.
        """

    def accepts(self, gold: str, inputs: Mapping[str, Any]) -> bool:
        """Whether a gold answer in canonical form is equal to itself, without a look at the spelling alone."""


@dataclass(frozen=True)
class Exact:
    """Character by character, white space around it aside."""

    spec: Sequence[Any] = ("exact",)

    def read(self, text: str, options: Options | None) -> str | None:
        """The canonical form of an answer."""
        return text.strip()

    def equal(self, gold: str, answer: str, inputs: Mapping[str, Any]) -> bool:
        """Whether an answer is right."""
        return gold == answer

    def accepts(self, gold: str, inputs: Mapping[str, Any]) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class Text(Exact):
    """Texts without regard to case, runs of white space, width of characters, and punctuation around them."""

    spec: Sequence[Any] = ("text",)

    def read(self, text: str, options: Options | None) -> str | None:
        """The canonical form of an answer."""
        return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip(_PUNCTUATION) or None


@dataclass(frozen=True)
class Number:
    """The first number of the answer, exact or within a tolerance.

    Attributes:
        tolerance: largest difference that is right.
        relative: whether the tolerance is a share of the gold answer.
    """

    tolerance: Fraction = Fraction(0)
    relative: bool = False

    @property
    def spec(self) -> Sequence[Any]:
        """What decides a verdict."""
        return ("number", str(self.tolerance), self.relative)

    def read(self, text: str, options: Options | None) -> str | None:
        """The canonical form of an answer: an integer or a reduced fraction."""
        value = first_number(text)
        return None if value is None else spelled(value)

    def equal(self, gold: str, answer: str, inputs: Mapping[str, Any]) -> bool:
        """Whether an answer is right."""
        if gold == answer or not self.tolerance:
            return gold == answer
        right = Fraction(gold)
        return abs(Fraction(answer) - right) <= self.tolerance * (abs(right) if self.relative else 1)

    def accepts(self, gold: str, inputs: Mapping[str, Any]) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class ChoiceLabel(Exact):
    """The label of a choice, or its whole text."""

    spec: Sequence[Any] = ("choice",)

    def read(self, text: str, options: Options | None) -> str | None:
        """The canonical form of an answer: the label as the data spell it."""
        return label_of(text, options) if options else None


def comparison(key: Key) -> Comparison:
    """The comparison that a key of a task file asks for.

    Raises:
        DataError: there is no such kind, or its value cannot be used.
        LibraryError: it needs a library that is not installed.
    """
    kind, value = key.kind(BARE, WITH_VALUE)
    if kind == "number":
        return _number(value)
    if kind == "math":
        from esprobe.tasks.files.math_comparison import Math

        return Math()
    if kind == "python":
        from esprobe.tasks.files.python_comparison import load_comparison

        return load_comparison(value)
    return {"exact": Exact(), "text": Text(), "choice": ChoiceLabel()}[kind]


def _number(tolerance: Key) -> Number:
    text = tolerance.text()
    if text is None:
        return Number()
    try:
        value = Decimal(text.removesuffix("%").strip())
    except InvalidOperation:
        value = Decimal("nan")
    if not (value.is_finite() and 0 <= value <= 10**6 and abs(value.adjusted()) < 100):
        tolerance.wrong(
            "it must be the largest difference that is right, such as 0.01, or a share of the gold answer, such as 1%"
        )
    return Number(Fraction(value) / (100 if text.endswith("%") else 1), text.endswith("%"))
