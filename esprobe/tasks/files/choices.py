"""Lettered choices: where a row holds them, and which one a text names."""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from esprobe.errors import DataError
from esprobe.tasks.files.keys import Key, did_you_mean
from esprobe.tasks.files.template import text_of

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SEARCHED = 20_000


class Options(NamedTuple):
    """The choices of one problem: their labels, such as "A", and their texts."""

    labels: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Choices:
    """Where a row holds its choices.

    Attributes:
        key: the key of the task file, for messages.
        text: the column of a list of texts, with dots for columns inside columns; or one column for each choice.
        label: the column of the list of labels; None for letters.
    """

    key: str
    text: str | tuple[str, ...]
    label: str | None

    @property
    def columns(self) -> frozenset[str]:
        """The columns of a row that hold the choices."""
        texts = self.text if isinstance(self.text, tuple) else (self.text,)
        return frozenset(column.partition(".")[0] for column in (*texts, self.label) if column)

    @property
    def spec(self) -> Sequence[Any]:
        """What decides the result, for digests."""
        return (self.text, self.label)

    def options(self, row: Mapping[str, Any], place: str) -> Options:
        """The choices of a row.

        Raises:
            DataError: the row does not hold them.
        """
        if isinstance(self.text, tuple):
            texts = tuple(text_of(row, column, place, self.key) for column in self.text)
        else:
            texts = self._listed(row, self.text, place)
        if len(texts) > len(LETTERS):
            raise DataError(f"{place} has {len(texts)} choices; at most {len(LETTERS)} can be lettered")
        if self.label is None:
            return Options(tuple(LETTERS[: len(texts)]), texts)
        labels = self._listed(row, self.label, place)
        if len(labels) != len(texts) or len(set(labels)) < len(labels):
            raise DataError(
                f"{place} has the labels {', '.join(labels)} for {len(texts)} choices; each needs one of its own"
            )
        return Options(labels, texts)

    def _listed(self, row: Mapping[str, Any], path: str, place: str) -> tuple[str, ...]:
        value: Any = row
        for name in path.split("."):
            if not isinstance(value, Mapping) or name not in value:
                close = did_you_mean(name, list(value)) if isinstance(value, Mapping) else ""
                raise DataError(f"{place} has no column {path!r}, which {self.key} of the task names{close}")
            value = value[name]
        if not isinstance(value, list) or not value or not all(isinstance(one, str | int | float) for one in value):
            raise DataError(f"{place}: column {path!r} must be a list of texts, for it holds the choices")
        return tuple(str(one) for one in value)


def choices(key: Key) -> Choices | None:
    """The choices that a key of a task file describes; None where it is missing.

    Raises:
        DataError: the value is neither a column, nor a list of columns, nor {text: COLUMN, label: COLUMN}.
    """
    if key.value is None:
        return None
    if isinstance(key.value, str):
        return Choices(key.name, key.value, None)
    if (items := key.items()) is not None:
        columns = tuple(item.required("a column", "every choice").text() or "" for item in items)
        if not 2 <= len(columns) <= len(LETTERS):
            key.wrong(f"a list of columns, one for each choice, has 2 to {len(LETTERS)} of them")
        return Choices(key.name, columns, None)
    held = key.keys(("text", "label"))
    return Choices(
        key.name,
        held["text"].required("text: COLUMN", f"{key.name} with other keys").text() or "",
        held["label"].text(),
    )


def label_of(text: str, options: Options) -> str | None:
    """The label that a text as a whole names: ``B``, ``(b)``, ``B. and its text``, or a choice's whole text."""
    plain = text.strip().strip("*$ ").removesuffix(".")
    by_text = [at for at, one in enumerate(options.texts) if one.strip().casefold() == plain.casefold()]
    found = _forms(options.labels)[0].match(plain)
    if found:
        return _known(found[1], options)
    return options.labels[by_text[0]] if len(by_text) == 1 else None


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last of the matches that a search from the left finds."""
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


def find_label(text: str, options: Options) -> str | None:
    """The label that an answer settles on.

    In this order: what follows the last "answer is" or "Answer:"; the text as a whole (``label_of``); the last label in
    parentheses. A letter anywhere else may be a word, such as "A", and does not count.
    """
    end = text[-_SEARCHED:]
    _, begins, bracketed = _forms(options.labels)
    if (said := last_match(_SAID, end)) is not None:
        rest = end[said.end() :].partition("\n")[0]
        if (label := label_of(rest, options)) is not None:
            return label
        if (found := begins.match(rest)) is not None:
            return _known(found[1], options)
    if (label := label_of(end, options)) is not None:
        return label
    found = last_match(bracketed, end)
    return None if found is None else _known(found[1], options)


_SAID = re.compile(r"\banswer\b[ \t*]{0,4}(?:is|:)[ \t*:]{0,4}(?:option |choice )?", re.I)


@lru_cache(maxsize=256)
def _forms(labels: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """What a label by itself, a label before more text, and a label in parentheses look like."""
    label = "(" + "|".join(re.escape(one) for one in sorted(labels, key=len, reverse=True)) + r")(?!\w)"
    opened = r"(?:\\boxed\{|\\text\{|[(\[*$\"']){0,4}"
    return (
        re.compile(rf"{opened}{label}[)\]*}}]{{0,4}}(?:[.:)]|$)", re.I),
        re.compile(rf"{opened}{label}"),
        re.compile(rf"\({label}\)"),
    )


def _known(written: str, options: Options) -> str | None:
    return next((label for label in options.labels if label.casefold() == written.casefold()), None)
