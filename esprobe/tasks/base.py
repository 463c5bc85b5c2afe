"""What a task is, written once.

A task turns a data set into problems, problems into prompts, and completions into scores. It does not know
which engine answers or where rollouts are kept. Third-party packages register a loader under the entry-point
group ``esprobe.tasks``: ``loader(data: str | None) -> Task``.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol, runtime_checkable

from esprobe.records import Audit
from esprobe.spec import Problem, Prompt, Score


class Task(Protocol):
    """A data set, how to prompt it and how to score an answer."""

    @property
    def name(self) -> str:
        """The name on the command line, such as "countdown"."""

    @property
    def data(self) -> str:
        """Where the rows came from, for people: a file path or a built-in set's name."""

    @property
    def data_digest(self) -> str:
        """SHA-256 over the parsed rows; equal data give equal digests wherever the file lies."""

    @property
    def problems(self) -> Sequence[Problem]:
        """Every problem of the data set; ``problems[i].index == i``."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """Names of the prompt styles, the default first."""

    @property
    def scorers(self) -> tuple[str, ...]:
        """Names and versions of the scorers, such as "es-paper/1", the default first."""

    def prompt(self, problem: Problem, style: str) -> Prompt:
        """The prompt of one problem in a style of ``prompts``."""

    def score(self, problem: Problem, completion: str, scorer: str) -> Score:
        """One scorer's verdict on a completion; never raises, whatever a model wrote.

        Raises:
            DataError: the problem's inputs are not of the task's form; a damaged database may hold such a one.
        """


@runtime_checkable
class Guessable(Protocol):
    """What a task may add: how often guessing without any model is right.

    A report sets the curve of guessing beside the conditions', and says so where they lie below it.
    """

    @property
    def null_label(self) -> str:
        """How tables name the guessing, such as "random expressions"."""

    @property
    def null_description(self) -> str:
        """Its definition in one sentence, printed with its curve."""

    def null_probabilities(self, problems: Sequence[Problem]) -> Sequence[float | None]:
        """The exact chance that one guess at each problem is correct, None where it is not worked out.

        Problems come from a database and need not be those of this task's data.

        Raises:
            DataError: the inputs of one are not of the task's form.
        """


@runtime_checkable
class AnswerForms(Protocol):
    """What a task may have besides: when two answers are the same. Ask with ``isinstance(task, AnswerForms)``.

    A task without it has its answers told apart by their text, which ``Score`` asks to be canonical.
    """

    def value(self, problem: Problem, answer: str | None) -> Fraction | None:
        """The exact value that a rollout's stored ``answer`` spells, for majority votes; None if it spells none.

        None stands for every answer that may not vote: missing, malformed, or not made of what the problem gives.
        """

    def expression(self, problem: Problem, completion: str) -> str | None:
        """One spelling for all ways to write the same answer, for counting distinct ones; None without an answer.

        Two completions give equal spellings if and only if they answer in the same way, by the task's own definition.
        Bounded time, whatever a model wrote.

        Raises:
            DataError: the problem's inputs are not of the task's form.
        """


@runtime_checkable
class Audited(Protocol):
    """What a task may have besides: checks of its own data, for ``esprobe data check``."""

    def audit(self, problems: tuple[int, int], training: tuple[int, int]) -> Audit:
        """What is wrong or odd in the problems of a slice of indices.

        Args:
            problems: first and stop index of the problems to audit; at least one of them exists.
            training: first and stop index of the problems that a model may have been trained on.
        """
