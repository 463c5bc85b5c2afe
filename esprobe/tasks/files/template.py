"""Templates over a row's columns: ``{column}`` is replaced by its value, ``{{`` and ``}}`` are braces.

Unlike ``str.format`` there are no attributes, indices or formats, so a template can only show what the row holds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from esprobe.errors import DataError
from esprobe.tasks.files.keys import Key, did_you_mean
from esprobe.tasks.files.rows import other_separator

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Template:
    """One template, parsed.

    Attributes:
        key: the key of the task file, for messages.
        texts: what stands between the columns; one more than columns.
        columns: the columns, in order.
    """

    key: str
    texts: tuple[str, ...]
    columns: tuple[str, ...]

    def fill(self, row: Mapping[str, Any], place: str) -> str:
        """The template with a row's values.

        Raises:
            DataError: the row has no such column, or its value is empty or no single value.
        """
        filled = [self.texts[0]]
        for column, text in zip(self.columns, self.texts[1:], strict=True):
            filled += (text_of(row, column, place, self.key), text)
        return "".join(filled)


@dataclass(frozen=True)
class Templates:
    """One template, or several of which the first is used whose columns a row has."""

    key: str
    each: tuple[Template, ...]

    def choose(self, row: Mapping[str, Any]) -> Template:
        """The template for a row; the first where none fits, which then says what the row lacks."""
        if len(self.each) == 1:
            return self.each[0]
        return next((one for one in self.each if all(column in row for column in one.columns)), self.each[0])

    def fill(self, row: Mapping[str, Any], place: str) -> str:
        """The row's template with its values.

        Raises:
            DataError: no template can be filled.
        """
        return self.choose(row).fill(row, place)

    @cached_property
    def columns(self) -> frozenset[str]:
        """Every column that some template shows."""
        return frozenset(column for one in self.each for column in one.columns)

    @property
    def spec(self) -> list[list[Sequence[str]]]:
        """What decides the result, for digests."""
        return [[one.texts, one.columns] for one in self.each]


def templates(key: Key) -> Templates | None:
    """The templates of a key: a text or a list of texts; None where it is missing.

    Raises:
        DataError: it is neither, or a brace has no partner.
    """
    if key.value is None:
        return None
    if (items := key.items()) is not None:
        if not items:
            key.wrong("a list of templates needs at least one")
        return Templates(key.name, tuple(_parse(item) for item in items))
    return Templates(key.name, (_parse(key),))


def text_of(row: Mapping[str, Any], column: str, place: str, key: str) -> str:
    """The text of one column of a row.

    Raises:
        DataError: there is none.
    """
    if column not in row:
        separated = other_separator(list(row))
        close = "" if separated else did_you_mean(column, list(row))
        raise DataError(
            f"{place} has no column {column!r}, which {key} of the task shows{close}; its columns: {', '.join(row)}"
            f"{separated}"
        )
    value = row[column]
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    what = "empty (null)" if value is None else f"a {'list' if isinstance(value, list) else 'mapping'}"
    fix = "give it a value, or remove the row" if value is None else "take another column, or write it as a text"
    raise DataError(f"{place}: column {column!r} is {what}, and {key} of the task shows a text or a number; {fix}")


def _parse(key: Key) -> Template:
    text = key.text()
    if text is None:
        key.wrong("a template must be a text")
    texts, columns, at, literal = [], [], 0, ""
    for piece in _PIECE.finditer(text):
        literal += text[at : piece.start()]
        at = piece.end()
        if piece[0] in ("{{", "}}"):
            literal += piece[0][0]
        elif not piece[1]:
            key.wrong(f"a single {piece[0]} names no column; write {{{{ and }}}} for braces, as in \\boxed{{{{}}}}")
        else:
            columns.append(piece[1])
            texts.append(literal)
            literal = ""
    return Template(key.name, (*texts, literal + text[at:]), tuple(columns))
