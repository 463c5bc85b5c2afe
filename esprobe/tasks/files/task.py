"""A task made of the parts that a task file names.

Owns how the parts meet: rows become problems, prompts and verdicts. Does not know how a file spells them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from esprobe.errors import DataError, UsageError
from esprobe.records import Audit
from esprobe.spec import Problem, Prompt, Score, digest_of
from esprobe.tasks.base import DataSet, TaskDefaults
from esprobe.tasks.files.choices import Choices, Options
from esprobe.tasks.files.comparison import Comparison
from esprobe.tasks.files.extraction import Extraction
from esprobe.tasks.files.gold import Gold
from esprobe.tasks.files.math_comparison import Math
from esprobe.tasks.files.prompt_form import STYLES, PromptForm, Turns
from esprobe.tasks.files.python_comparison import Python
from esprobe.tasks.files.rows import Row, plain
from esprobe.tasks.files.source import FileSource, HubSource, given
from esprobe.tasks.files.template import Templates

RULES = 1
"""Version of the rules of extraction and comparison, part of every scorer's name; it changes when a verdict does."""

FAILURES: Mapping[str, str] = {
    "no-answer": "the extraction finds no answer in the text",
    "invalid": "an answer is found, but it is not of the comparison's form: no number, no choice",
    "timeout": "the answer, or whether it is the gold answer, was not found out in time (regex and math only)",
    "wrong": "the answer is not the gold answer",
}
"""The failure words of every task file, and what they mean."""

SLOW_S = 10.0
"""Seconds that one verdict of math-verify, which interrupts itself earlier, or of a user's function may take."""

MADE = {"choices", "labels"}
"""What the prompts of a task with choices can show besides columns: see ``_with_choices``."""

ONLY_GROUP = "ungrouped"
"""The class of every problem of a task without the key ``group``."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a task file names; see docs/task-files.md."""

    name: str
    about: str | None
    source: FileSource | HubSource | None
    prompt: PromptForm
    gold: Gold
    extraction: Extraction
    comparison: Comparison
    choices: Choices | None
    group: Templates | None
    defaults: TaskDefaults


class FileTask:
    """The task of a file: ``Task`` and what a task may have besides, as ``esprobe.tasks.base`` says."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        decisive = [RULES, parts.extraction.spec, parts.comparison.spec, parts.gold.spec]
        options = [parts.choices.spec] if parts.choices else []
        self._source = digest_of([*decisive, *options])
        self._scorer = f"{parts.comparison.spec[0]}/{self._source[:12]}"
        self._turns: Turns | None = None if parts.prompt.first_of_train else parts.prompt.examples

    @property
    def name(self) -> str:
        """The name that the file gives."""
        return self.parts.name

    @property
    def prompts(self) -> tuple[str, ...]:
        """Prompt styles, the default first."""
        return STYLES

    @property
    def scorers(self) -> tuple[str, ...]:
        """The one scorer: the kind of comparison, and a digest of all that decides a verdict."""
        return (self._scorer,)

    @property
    def source_digest(self) -> str:
        """SHA-256 (64 hexadecimal digits) of all that decides a verdict, by which an edited task file is recognised."""
        return self._source

    @property
    def defaults(self) -> TaskDefaults:
        """What the file says of slices and the token limit."""
        return self.parts.defaults

    def data_set(self, data: str | None) -> DataSet:
        """The problems of a file, or of the source that the task file names.

        Raises:
            DataError: there is none, or the rows lack what the task needs.
            LibraryError: a library that reads the source is not installed.
        """
        source = self.parts.source if data is None else given(data)
        if source is None:
            about = f" ({self.parts.about})" if self.parts.about else ""
            raise DataError(f"task {self.name} names no data{about}; give --data the path of a file")
        given_rows = source.rows(self.name)
        rows = [{name: plain(value) for name, value in row.items()} for row in given_rows]
        if self.parts.prompt.first_of_train:
            self._turns = self._examples(rows, source.name)
        problems = []
        for index, row in enumerate(rows):
            place = f"{source.name}, row {index}"
            try:
                problems.append(self._problem(index, row, place))
            except DataError:
                self._tell_nan(given_rows[index], place)
                raise
        return DataSet(source.name, digest_of(rows), tuple(problems))

    def prompt(self, problem: Problem, style: str) -> Prompt:
        """The prompt of one problem.

        Raises:
            UsageError: there is no such style.
            DataError: the problem's inputs lack a column.
        """
        if style not in STYLES:
            raise UsageError(f"task {self.name} has no prompt style {style!r}; use --prompt {' or '.join(STYLES)}")
        if self._turns is None:
            raise DataError(
                f"the prompts of task {self.name} show problems of its data, which have not been read; give --data"
            )
        return self.parts.prompt.prompt(self._row(problem), self._turns, style, _place(problem))

    def score(self, problem: Problem, completion: str, scorer: str) -> Score:
        """The verdict on a completion. A right answer's canonical form is the first gold answer's.

        Raises:
            UsageError: there is no such scorer.
            DataError: the problem's inputs lack a column.
            LibraryError: the comparison needs a library that is not installed.
        """
        if scorer != self._scorer:
            raise UsageError(
                f"task {self.name} has no scorer {scorer!r}, perhaps because the task file was changed since; "
                f"use --scorer {self._scorer}"
            )
        try:
            found = self._found(problem, completion)
        except TimeoutError:
            return _TIMEOUT
        if not found:
            return _NO_ANSWER
        compare = self.parts.comparison
        answer = compare.read(found, self.options(problem))
        if answer is None:
            return _INVALID
        golds = self.gold_answers(problem)
        try:
            right = any(compare.equal(gold, answer, problem.inputs) for gold in golds)
        except TimeoutError:
            return Score(0.0, False, answer, "timeout")
        if right:
            return Score(1.0, True, golds[0], None)
        return Score(0.0, False, answer, "wrong")

    @property
    def slow_scorers(self) -> Mapping[str, float]:
        """The scorer, with the seconds that one completion may take, where a library or the user's code compares."""
        return {self._scorer: SLOW_S} if isinstance(self.parts.comparison, Python | Math) else {}

    def verdict_key(self, problem: Problem, completion: str, scorer: str) -> str:
        """What decides the verdict: the answer found, in canonical form; the text where that takes too long."""
        try:
            found = self._found(problem, completion)
        except TimeoutError:
            return f"timeout {completion}"
        if not found:
            return ""
        answer = self.parts.comparison.read(found, self.options(problem))
        return "invalid" if answer is None else f"= {answer}"

    def golds(self, problem: Problem) -> tuple[str, ...]:
        """The right answers of a problem, as the data spell them.

        Raises:
            DataError: the problem's inputs lack a column.
        """
        return self.parts.gold.answers(problem.inputs, self.options(problem), _place(problem))

    def gold_answers(self, problem: Problem) -> tuple[str, ...]:
        """The right answers of a problem in canonical form, without those that the comparison cannot read.

        Raises:
            DataError: the problem's inputs lack a column.
        """
        options = self.options(problem)
        read = (self.parts.comparison.read(gold, options) for gold in self.golds(problem))
        return tuple(gold for gold in read if gold is not None)

    def options(self, problem: Problem, place: str | None = None) -> Options | None:
        """The lettered choices of a problem; None if the task has none.

        Raises:
            DataError: the problem's inputs do not hold them.
        """
        choices = self.parts.choices
        return choices.options(problem.inputs, place or _place(problem)) if choices else None

    def content_key(self, fields: Mapping[str, Any]) -> str | None:
        """What the fields put into the user turn; None if they lack a column of it."""
        columns = set(self.parts.prompt.user.choose(fields).columns)
        if self.parts.choices:
            columns = (columns - MADE) | self.parts.choices.columns
        if any(fields.get(column) is None for column in columns):
            return None
        return digest_of({column: fields[column] for column in columns})

    def audit(self, data: DataSet, problems: tuple[int, int], training: tuple[int, int]) -> Audit:
        """What is wrong or odd in the problems of a slice; those past the data's end are left out."""
        from esprobe.tasks.files import audit

        return audit.audit(self, data, problems, training)

    def _problem(self, index: int, row: Row, place: str) -> Problem:
        parts = self.parts
        everything = isinstance(parts.comparison, Python)  # the function is given the row
        inputs = row if everything else {column: row[column] for column in row if column in self._used}
        problem = Problem(index, inputs, parts.group.fill(row, place) if parts.group else ONLY_GROUP)
        # What is missing should be known before a model is loaded.
        options = self.options(problem, place)
        parts.prompt.prompt(_with_choices(row, options), (), "chat", place)
        parts.gold.answers(row, options, place)
        try:
            json.dumps(inputs, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DataError(f"{place} has an unpaired surrogate, which no tokenizer accepts; fix its escape") from None
        return problem

    def _tell_nan(self, row: Row, place: str) -> None:
        """Raise for a row that cannot be used because a column that the task shows is NaN, which ``plain`` drops."""
        for column in sorted(self._used & set(row)):
            value = row[column]
            if isinstance(value, float) and not math.isfinite(value):
                raise DataError(
                    f"{place}: column {column!r} is {'NaN' if value != value else 'infinite'}, and the task shows a "
                    f"text or a finite number; give it a value, or remove the row"
                )

    def _found(self, problem: Problem, completion: str) -> str | None:
        """The answer as the completion spells it; the begun answer that the model continues is a part of it."""
        prompt = self.parts.prompt
        text = prompt.begun(problem.inputs, _place(problem)) + completion if prompt.prefix else completion
        return self.parts.extraction.find(text, self.options(problem))

    @cached_property
    def _used(self) -> frozenset[str]:
        parts = self.parts
        held = (parts.prompt.columns, parts.gold.text.columns, parts.group.columns if parts.group else frozenset())
        return frozenset().union(*held, parts.choices.columns if parts.choices else frozenset())

    def _row(self, problem: Problem) -> Mapping[str, Any]:
        """What a problem's prompt can show: its columns, and its choices as lines and labels."""
        return _with_choices(problem.inputs, self.options(problem))

    def _examples(self, rows: Sequence[Row], source: str) -> Turns:
        first, stop = self.parts.defaults.training or (0, 0)
        wanted, training = self.parts.prompt.first_of_train, rows[first:stop]
        if len(training) < wanted:
            raise DataError(
                f"task {self.name} shows the first {wanted} problems of train as examples, and {source} has "
                f"{len(training)} there; lower prompt.examples or change train"
            )
        if self.parts.choices is None:
            return self.parts.prompt.turns(training)
        options = [self.parts.choices.options(row, f"{source}, row {first + n}") for n, row in enumerate(training)]
        return self.parts.prompt.turns(list(map(_with_choices, training, options)))


class ChoiceTask(FileTask):
    """A task with lettered choices, where the chance of guessing is known: ``Guessable`` besides."""

    @property
    def null_label(self) -> str:
        """How tables name guessing."""
        return "guessed choice"

    @property
    def null_description(self) -> str:
        """What guessing is."""
        return "one of a problem's m choices, all equally likely, so that the chance is exactly 1/m"

    def null_probabilities(self, problems: Sequence[Problem]) -> Sequence[float | None]:
        """One over the number of choices of each problem.

        Raises:
            DataError: the inputs of one do not hold its choices.
        """
        counts = [self.options(problem) for problem in problems]
        return [None if options is None else 1 / len(options.labels) for options in counts]


_NO_ANSWER = Score(0.0, False, None, "no-answer")
_INVALID = Score(0.0, False, None, "invalid")
_TIMEOUT = Score(0.0, False, None, "timeout")


def _with_choices(row: Mapping[str, Any], options: Options | None) -> Mapping[str, Any]:
    if options is None:
        return row
    lines = "\n".join(f"{label}) {text}" for label, text in zip(*options, strict=True))
    return {**row, "choices": lines, "labels": "".join(options.labels)}


def _place(problem: Problem) -> str:
    return f"problem {problem.index}"
