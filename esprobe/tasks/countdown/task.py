"""Countdown as a task: data sets, prompts and scores behind the one protocol.

Owns how the parts meet. Does not know their insides.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from esprobe.cache import cache_folder
from esprobe.errors import DataError
from esprobe.records import Audit
from esprobe.spec import Problem, Prompt, Score
from esprobe.tasks.base import DataSet, TaskDefaults
from esprobe.tasks.countdown import prompts
from esprobe.tasks.countdown.data import FORM, read_rows, row_of
from esprobe.tasks.countdown.problems import Problems
from esprobe.tasks.countdown.rows import Row, key_of, rows_digest
from esprobe.tasks.countdown.scoring import SCORERS, score

GENERATED = "generated"
ES_PAPER = "es-paper"
NULL_LABEL = "random expressions"
NULL_DESCRIPTION = (
    "merge the given numbers in random order (repeatedly an ordered pair of the remaining values and one of + - * /, "
    "all equally likely) until one value is left; right within 1e-5 of the target, and a division by zero is wrong; "
    "every way is counted, so the chances are exact"
)


class CountdownTask:
    """Reach a target from numbers, each used exactly once: every protocol of ``esprobe.tasks.base``."""

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "countdown"

    @property
    def prompts(self) -> tuple[str, ...]:
        """Prompt styles, the default first."""
        return prompts.STYLES

    @property
    def scorers(self) -> tuple[str, ...]:
        """Scorers, the default first."""
        return SCORERS

    @property
    def defaults(self) -> TaskDefaults:
        """The study's slices: the first 200 problems train, the next 2,000 test."""
        return TaskDefaults(training=(0, 200), problems=(200, 2200), max_tokens=1024)

    def data_set(self, data: str | None) -> DataSet:
        """The problems of "generated" (also None), of "es-paper" (downloaded once), or of a file.

        Raises:
            DataError: the data cannot be read or do not have the form.
        """
        if data is None or data == GENERATED:
            return _generated()
        if data == ES_PAPER:
            from esprobe.tasks.countdown.download import (
                ES_PAPER_FILE,
                ES_PAPER_SHA256,
                ES_PAPER_URLS,
                fetch,
            )

            path = fetch(ES_PAPER_URLS, ES_PAPER_SHA256, cache_folder() / ES_PAPER_FILE)
            return _read(ES_PAPER, path)
        try:
            path = Path(data).expanduser()
        except RuntimeError:
            raise DataError(
                f"{data} names the home folder of a user that this machine does not know, so no problem can be read; "
                "give --data an absolute path"
            ) from None
        return _read(data, path)

    def prompt(self, problem: Problem, style: str) -> Prompt:
        """The prompt of one problem in a style of ``prompts``."""
        return prompts.prompt(problem, style)

    def score(self, problem: Problem, completion: str, scorer: str) -> Score:
        """One scorer's verdict on a completion.

        Raises:
            DataError: the problem's inputs are not of the form.
        """
        try:  # no context manager: it takes a fifth of the time of the score itself
            return score(completion, problem.inputs["numbers"], problem.inputs["target"], scorer)
        except _MALFORMED as err:
            _check([problem], err)
            raise

    def content_key(self, fields: Mapping[str, Any]) -> str | None:
        """The numbers in any order and the target in any spelling; None if one of both is missing.

        The numbers may be called "nums", too.

        Raises:
            DataError: they are not of the form.
        """
        numbers = fields.get("nums") if fields.get("numbers") is None else fields["numbers"]
        if numbers is None or fields.get("target") is None:
            return None
        row = row_of({"numbers": numbers, "target": fields["target"]}, "its problem")
        return key_of(row.numbers, row.target)

    def audit(self, data: DataSet, problems: tuple[int, int], training: tuple[int, int]) -> Audit:
        """What is wrong or odd in the problems of a slice; those past the data's end are left out."""
        from esprobe.tasks.countdown import audit

        rows = [row_of(problem.inputs, f"problem {problem.index}") for problem in data.problems]
        chosen = range(*slice(*problems).indices(len(rows)))
        return Audit(
            task=self.name,
            data=data.source,
            data_digest=data.digest,
            problems=(chosen.start, chosen.stop),
            training=training,
            groups=tuple(data.problems[index].group for index in chosen),
            findings=audit.findings(rows, chosen, range(*training)),
            notes=audit.NOTES,
        )

    def value(self, problem: Problem, answer: str | None) -> Fraction | None:
        """The exact value of a stored answer; None if it spells none. The problem does not matter here."""
        from esprobe.tasks.countdown import canonical

        return canonical.value(answer)

    def expression(self, problem: Problem, completion: str) -> str | None:
        """One spelling for all expressions that differ in order, grouping and place of signs only; None without one.

        Raises:
            DataError: the problem's inputs are not of the form.
        """
        from esprobe.tasks.countdown import canonical

        with _asking(problem):
            return canonical.expression(completion, problem.inputs["numbers"])

    @property
    def null_label(self) -> str:
        """How tables name guessing."""
        return NULL_LABEL

    @property
    def null_description(self) -> str:
        """What a random expression is."""
        return NULL_DESCRIPTION

    def null_probabilities(self, problems: Sequence[Problem]) -> Sequence[float | None]:
        """The chance of a random expression at each problem.

        Raises:
            DataError: the inputs of one are not of the form.
        """
        from esprobe.tasks.countdown import null  # needs numpy, and sampling does not

        with _asking(*problems):
            given = [problem.inputs for problem in problems]
            return null.null_chances([inputs["numbers"] for inputs in given], [inputs["target"] for inputs in given])


def load() -> CountdownTask:
    """The task, for ``load_task``."""
    return CountdownTask()


@cache
def _generated() -> DataSet:
    from esprobe.tasks.countdown.generate import generated_rows  # which takes a second, and most commands need none

    return _data_set(GENERATED, generated_rows())


def _read(source: str, path: Path) -> DataSet:
    # Python's collector of reference cycles would look through all rows again and again, and rows have no cycles.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _data_set(source, read_rows(path))
    finally:
        if was_enabled:
            gc.enable()


def _data_set(source: str, rows: Sequence[Row]) -> DataSet:
    return DataSet(source, rows_digest(rows), Problems(rows))


_MALFORMED = (ArithmeticError, LookupError, TypeError, ValueError)
"""What comes of inputs that are not of the form. They are not looked at before: scoring is asked millions of times."""


@contextmanager
def _asking(*problems: Problem) -> Iterator[None]:
    """Around what takes problems to have Countdown's inputs.

    Raises:
        DataError: in place of an error that a problem not of the form has caused.
    """
    try:
        yield
    except _MALFORMED as err:
        _check(problems, err)
        raise


def _check(problems: Sequence[Problem], cause: Exception) -> None:
    for problem in problems:
        try:
            row_of(problem.inputs, f"problem {problem.index}")
        except DataError:
            raise DataError(f"problem {problem.index} cannot be asked; Countdown's {FORM}") from cause
