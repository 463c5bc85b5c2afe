"""How a task file words a problem: the key ``prompt``, in the styles chat and raw.

Raw is the same without a chat template, for base models: system text, examples and question joined by blank lines.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from esprobe.spec import Prompt
from esprobe.tasks.files.keys import Key
from esprobe.tasks.files.template import Templates, templates

STYLES = ("chat", "raw")

Turns = tuple[tuple[str, str], ...]
"""(question, answer) of each example."""

_FIRST_OF_TRAIN = re.compile(r"first ([0-9]{1,4}) of train")


@dataclass(frozen=True)
class PromptForm:
    """The parts of a prompt.

    Attributes:
        system: the system turn, if there is one.
        user: the user turn.
        prefix: the start of the assistant's turn, if there is one.
        reply: the assistant's turn of an example that is a row.
        examples: examples written in the task file.
        first_of_train: rows of the training slice that are examples.
    """

    system: Templates | None
    user: Templates
    prefix: Templates | None
    reply: Templates | None
    examples: Turns
    first_of_train: int

    @property
    def columns(self) -> frozenset[str]:
        """Every column that a problem's own prompt shows."""
        shown = [self.user, *(one for one in (self.system, self.prefix) if one is not None)]
        return frozenset().union(*(one.columns for one in shown))

    def begun(self, row: Mapping[str, Any], place: str) -> str:
        """The start of the answer that the model continues."""
        return self.prefix.fill(row, place) if self.prefix else ""

    def turns(self, rows: Sequence[Mapping[str, Any]]) -> Turns:
        """The examples: those of the task file, then the first rows of ``rows``, the training slice.

        Raises:
            DataError: a row lacks a column.
        """
        shown = rows[: self.first_of_train]
        if self.reply is None:
            return self.examples
        made = ((self.user.fill(row, f"row {n}"), self.reply.fill(row, f"row {n}")) for n, row in enumerate(shown))
        return (*self.examples, *made)

    def prompt(self, row: Mapping[str, Any], turns: Turns, style: str, place: str) -> Prompt:
        """A problem's prompt.

        Raises:
            DataError: the row lacks a column.
        """
        system = (self.system.fill(row, place),) if self.system else ()
        user, prefix = self.user.fill(row, place), self.begun(row, place)
        if style == "raw":
            shown = [f"{question}\n{answer}" for question, answer in turns]
            return Prompt((), "\n\n".join((*system, *shown, f"{user}\n{prefix}")))
        said = [(role, text) for pair in turns for role, text in zip(("user", "assistant"), pair, strict=True)]
        return Prompt((*(("system", text) for text in system), *said, ("user", user)), prefix)


def prompt_form(key: Key, has_training: bool) -> PromptForm:
    """The prompt that a key of a task file describes.

    Raises:
        DataError: a part is missing or wrong.
    """
    held = key.keys(("system", "user", "prefix", "examples", "reply"))
    user, reply = templates(held["user"].required('user: "{question}"')), templates(held["reply"])
    assert user is not None  # required
    examples, first = _examples(held["examples"])
    if first and reply is None:
        held["examples"].wrong('it also needs prompt.reply, how an example answers, such as reply: "{answer}"')
    if first and not has_training:
        held["examples"].wrong("it also needs the key train, such as train: 0:200")
    if reply is not None and not first:
        held["reply"].wrong("it is only used with examples: first N of train; remove it")
    return PromptForm(templates(held["system"]), user, templates(held["prefix"]), reply, examples, first)


def _examples(key: Key) -> tuple[Turns, int]:
    if key.value is None:
        return (), 0
    if isinstance(key.value, str) and (found := _FIRST_OF_TRAIN.fullmatch(key.value)) and int(found[1]):
        return (), int(found[1])
    items = key.items()
    if not items:
        key.wrong("allowed: first N of train, or a list of {user: TEXT, assistant: TEXT}")
    turns = []
    for item in items:
        held = item.keys(("user", "assistant"))
        texts = [held[role].required(f"{role}: TEXT", "every example").text() or "" for role in ("user", "assistant")]
        turns.append((texts[0], texts[1]))
    return tuple(turns), 0
