"""What a task is, written once.

A task reads data sets, turns problems into prompts and scores completions. It does not know which engine answers or
where rollouts are stored. A task holds no data: stored problems are scored and analysed without their data set.
Packages register a loader without arguments under the entry-point group ``esprobe.tasks``: ``load() -> Task``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Protocol, runtime_checkable

from esprobe.errors import UsageError
from esprobe.records import Audit
from esprobe.spec import Problem, Prompt, Score


@dataclass(frozen=True)
class DataSet:
    """The problems of one data set.

    Attributes:
        source: where the rows came from, for people: a file's path or a built-in set's name.
        digest: SHA-256 over the parsed rows; equal data have equal digests wherever the file lies.
        problems: every problem; ``problems[i].index == i``.
    """

    source: str
    digest: str
    problems: Sequence[Problem]


class Task(Protocol):
    """How to read data, prompt problems and score answers."""

    @property
    def name(self) -> str:
        """The name on the command line, such as "countdown"."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """Names of the prompt styles, the default first."""

    @property
    def scorers(self) -> tuple[str, ...]:
        """Names and versions of the scorers, such as "es-paper/1", the default first."""

    def data_set(self, data: str | None) -> DataSet:
        """The problems of ``data``: a built-in set's name or a path; None for the task's default.

        Raises:
            DataError: the data cannot be read or do not have the task's form.
        """

    def prompt(self, problem: Problem, style: str) -> Prompt:
        """The prompt of one problem in a style of ``prompts``."""

    def score(self, problem: Problem, completion: str, scorer: str) -> Score:
        """One scorer's verdict on a completion; never raises, whatever a model wrote.

        Raises:
            DataError: the problem's inputs are not of the task's form; a damaged database may hold such a one.
        """


class TaskDefaults(NamedTuple):
    """What a task would have options be where nobody gives them.

    Attributes:
        training: first and stop index of the problems for training and selection; None for none.
        problems: first and stop index of the problems to sample; None for all that are not training problems.
        max_tokens: tokens after which a completion is cut off; None for esprobe's own default.
    """

    training: tuple[int, int] | None = None
    problems: tuple[int, int] | None = None
    max_tokens: int | None = None

    def sampled(self, count: int) -> tuple[int, int]:
        """First and stop index of the problems to sample, of a data set with ``count`` problems.

        Training problems are left out at the end they lie at; those in the middle are not.

        Raises:
            UsageError: all are training problems, and the task does not say which ones to sample.
        """
        if self.problems is not None:
            return self.problems
        first, stop = self.training or (0, 0)
        if first == 0 and 0 < count <= stop:
            raise UsageError(
                f"train {first}:{stop} covers all {count:,} problems of the data, so none is left for testing; make it "
                f"shorter, or name the problems to test with --problems FIRST:STOP"
            )
        if first == 0 and stop < count:
            return stop, count
        return (0, min(first, count)) if stop >= count and first > 0 else (0, count)


@runtime_checkable
class WithDefaults(Protocol):
    """What a task may have besides: defaults of its own for ``--problems``, ``--training`` and ``--max-tokens``."""

    @property
    def defaults(self) -> TaskDefaults:
        """The task's defaults."""


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
class GoldAnswered(Protocol):
    """What a task may have besides: its right answers. Without ``Guessable``, guessing is drawn from them.

    ``esprobe.tasks.guessing`` says how.
    """

    def gold_answers(self, problem: Problem) -> Sequence[str]:
        """The right answers of a problem, spelled as ``Score.answer`` is; none if the problem names none.

        Raises:
            DataError: the problem's inputs are not of the task's form.
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
class ContentKeyed(Protocol):
    """What a task may have besides: recognising a problem by its content, for ``esprobe import``.

    Without it a row of another tool names its problem by index, or by the text of its prompt.
    """

    def content_key(self, fields: Mapping[str, Any]) -> str | None:
        """A text that is equal for equal problems, from a problem's inputs or from a row that may hold them.

        Args:
            fields: ``Problem.inputs``, or the keys and values of one line of a file.

        Returns:
            None if the fields do not describe a problem.

        Raises:
            DataError: they describe one, but not in the task's form.
        """


@runtime_checkable
class Audited(Protocol):
    """What a task may have besides: checks of its own data, for ``esprobe data check``."""

    def audit(self, data: DataSet, problems: tuple[int, int], training: tuple[int, int]) -> Audit:
        """What is wrong or odd in the problems of a slice of indices.

        Args:
            data: one of the task's data sets.
            problems: first and stop index of the problems to audit; at least one of them exists.
            training: first and stop index of the problems that a model may have been trained on.
        """


@runtime_checkable
class SlowScored(Protocol):
    """What a task may have besides: scorers that take milliseconds or may never end.

    Their verdicts are computed in processes beside the sampling loop, with a time limit, once for equal completions.
    """

    @property
    def slow_scorers(self) -> Mapping[str, float]:
        """Those of ``scorers`` that are slow, each with the seconds that one completion may take."""


@runtime_checkable
class VerdictKeyed(Protocol):
    """What a task with slow scorers may have besides: which completions get one verdict. Without it, equal ones do."""

    def verdict_key(self, problem: Problem, completion: str, scorer: str) -> str:
        """What decides the verdict, such as the extracted answer; takes microseconds, and always ends.

        Two completions of one problem with equal keys get one verdict, reward included.
        """
