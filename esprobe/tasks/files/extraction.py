"""Where the answer stands in a text: the kinds of ``extract``.

Owns finding an answer. Does not know when it is right. Every kind but ``regex`` takes time linear
in the text; that one has a time limit.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esprobe.tasks.files.choices import Options, find_label
from esprobe.tasks.files.keys import Key
from esprobe.tasks.files.numbers import last_number
from esprobe.tasks.files.regex_extraction import regex_extraction

BARE = ("boxed", "last-number", "choice", "whole")
WITH_VALUE = ("after", "tag", "regex")

LONGEST = 2000
"""Characters of the longest answer that is looked for."""

_BOXES_TRIED = 3
_BRACE = re.compile(r"\\.|[{}]", re.S)


class Extraction(Protocol):
    """One kind of ``extract``."""

    @property
    def spec(self) -> Sequence[str]:
        """What decides the result, for digests."""

    def find(self, text: str, options: Options | None) -> str | None:
        """The answer of a text, stripped of white space; None or empty without one.

        Raises:
            TimeoutError: looking for it takes too long.
        """

    def write(self, answer: str) -> str | None:
        """A text that gives an answer in the form asked for; None if the kind does not say how."""


@dataclass(frozen=True)
class After:
    """The rest of the line after the last mark; the next line that is not empty if the rest is empty."""

    mark: str

    @property
    def spec(self) -> Sequence[str]:
        """What decides the result."""
        return ("after", self.mark)

    def find(self, text: str, options: Options | None) -> str | None:
        """The answer of a text."""
        at = text.rfind(self.mark)
        if at < 0:
            return None
        start = at + len(self.mark)
        return text[start : start + LONGEST].strip().partition("\n")[0].strip()

    def write(self, answer: str) -> str:
        """A text that gives an answer."""
        return f"{self.mark} {answer}"


@dataclass(frozen=True)
class Boxed:
    """The content of the last closed LaTeX box, braces balanced."""

    spec: Sequence[str] = ("boxed",)

    def find(self, text: str, options: Options | None) -> str | None:
        """The answer of a text."""
        end = len(text)
        for _ in range(_BOXES_TRIED):
            at = text.rfind("\\boxed{", 0, end)
            if at < 0:
                return None
            if (content := _braced(text[at + 7 : at + 7 + LONGEST])) is not None:
                return content.strip()
            end = at
        return None

    def write(self, answer: str) -> str:
        """A text that gives an answer."""
        return f"\\boxed{{{answer}}}"


@dataclass(frozen=True)
class LastNumber:
    """The last number of the text."""

    spec: Sequence[str] = ("last-number",)

    def find(self, text: str, options: Options | None) -> str | None:
        """The answer of a text."""
        return last_number(text)

    def write(self, answer: str) -> str:
        """A text that gives an answer."""
        return answer


@dataclass(frozen=True)
class Tag:
    """The content of the last closed block ``<name>...</name>``."""

    name: str

    @property
    def spec(self) -> Sequence[str]:
        """What decides the result."""
        return ("tag", self.name)

    def find(self, text: str, options: Options | None) -> str | None:
        """The answer of a text."""
        end = text.rfind(f"</{self.name}>")
        at = text.rfind(f"<{self.name}>", 0, max(end, 0))
        if at < 0:
            return None
        return text[at + len(self.name) + 2 : text.find(f"</{self.name}>", at)].strip()

    def write(self, answer: str) -> str:
        """A text that gives an answer."""
        return f"<{self.name}>{answer}</{self.name}>"


@dataclass(frozen=True)
class Choice:
    """The label of the choice that the text settles on (``choices.find_label``)."""

    spec: Sequence[str] = ("choice",)

    def find(self, text: str, options: Options | None) -> str | None:
        """The answer of a text."""
        return find_label(text, options) if options else None

    def write(self, answer: str) -> str:
        """A text that gives an answer."""
        return f"Answer: {answer}"


@dataclass(frozen=True)
class Whole:
    """The whole text."""

    spec: Sequence[str] = ("whole",)

    def find(self, text: str, options: Options | None) -> str | None:
        """The answer of a text."""
        return text.strip()

    def write(self, answer: str) -> str:
        """A text that gives an answer."""
        return answer


def extraction(key: Key) -> Extraction:
    """The extraction that a key of a task file asks for.

    Raises:
        DataError: there is no such kind, or its value cannot be used.
        LibraryError: it needs a library that is not installed.
    """
    kind, value = key.kind(BARE, WITH_VALUE)
    text = value.text() or ""
    if kind == "after":
        return After(text)
    if kind == "tag":
        if not re.fullmatch(r"[\w-]+", text):
            value.wrong("it must be the name of a tag without brackets, such as answer")
        return Tag(text)
    if kind == "regex":
        return regex_extraction(value)
    others: dict[str, Extraction] = {
        "boxed": Boxed(),
        "last-number": LastNumber(),
        "choice": Choice(),
        "whole": Whole(),
    }
    return others[kind]


def _braced(text: str) -> str | None:
    """The text before the brace that closes one opened before it; None if none does."""
    depth = 1
    for brace in _BRACE.finditer(text):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return text[: brace.start()]
    return None
