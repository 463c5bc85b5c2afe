"""Tasks from outside esprobe, with their exceptions turned into errors that say whose code failed, and on what."""

import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from fractions import Fraction
from pathlib import Path
from typing import Any

from esprobe.errors import EsprobeError, TaskError
from esprobe.records import Audit
from esprobe.spec import Problem, Prompt, Score
from esprobe.tasks.base import (
    AnswerForms,
    Audited,
    ContentKeyed,
    DataSet,
    GoldAnswered,
    Guessable,
    SlowScored,
    Task,
    TaskDefaults,
    VerdictKeyed,
    WithDefaults,
)

_SHOWN = 200
_HERE = Path(__file__).parent


class GuardedTask:
    """Another task, called with care: what it raises on purpose passes, all else becomes a TaskError.

    KeyboardInterrupt passes too. SystemExit does not: a library that calls ``sys.exit`` must not end a run.

    Attributes:
        inner: the task itself.
        file: the ``FILE.py:NAME`` that it was loaded from, absolute; None for another origin.
    """

    def __init__(self, inner: Any, label: str, file: str | None = None) -> None:
        """``label`` names the task in messages if it cannot name itself."""
        self.inner = inner
        self.file = file
        self._label = label
        with self._calling("name"):
            self._name: str = inner.name
            self._label = str(self._name)

    @contextmanager
    def _calling(self, function: str, what: str = "", fix: str = "Correct the task") -> Iterator[None]:
        try:
            with redirect_stdout(sys.stderr):  # what a task prints is no result of a command
                yield
        except EsprobeError:
            raise
        except (Exception, SystemExit) as error:
            raise self._error(function, what, error, fix) from error

    def _error(self, function: str, what: str, error: BaseException, fix: str = "Correct the task") -> TaskError:
        on = f" on {what}" if what else ""
        return TaskError(
            f"task {self._label}: its {function} failed{on}: {describe(error)}; esprobe cannot go on without it. "
            f"{fix} and run the same command again"
        )

    @property
    def name(self) -> str:
        """The task's own name."""
        return self._name

    @property
    def prompts(self) -> tuple[str, ...]:
        """Prompt styles, the default first."""
        with self._calling("prompts"):
            return tuple(self.inner.prompts)

    @property
    def scorers(self) -> tuple[str, ...]:
        """Scorers, the default first."""
        with self._calling("scorers"):
            return tuple(self.inner.scorers)

    def data_set(self, data: str | None) -> DataSet:
        """The problems of ``data``."""
        if data is None:
            what, fix = "its default data", "If the task needs data, give --data PATH; else correct the task"
        else:
            what, fix = f"--data {data}", f"Correct {data}, if it is not of the task's form, or the task,"
        with self._calling("data_set", what, fix):
            found: DataSet = self.inner.data_set(data)
        return found

    def prompt(self, problem: Problem, style: str) -> Prompt:
        """The prompt of a problem."""
        with self._calling("prompt", f"{_shown(problem)}, style {style!r}"):
            prompt: Prompt = self.inner.prompt(problem, style)
            prompt.digest  # noqa: B018 - computed here, where a prompt that is no prompt is the task's fault
        return prompt

    def score(self, problem: Problem, completion: str, scorer: str) -> Score:
        """A scorer's verdict."""
        out, sys.stdout = sys.stdout, sys.stderr  # no context managers: this is called millions of times
        try:
            score: Score = self.inner.score(problem, completion, scorer)
        except EsprobeError:
            raise
        except (Exception, SystemExit) as error:
            raise self._error("score", f"{_shown(problem)}, completion {_cut(completion)}", error) from error
        finally:
            sys.stdout = out
        return score


class _Guessing(GuardedTask):
    @property
    def null_label(self) -> str:
        with self._calling("null_label"):
            return str(self.inner.null_label)

    @property
    def null_description(self) -> str:
        with self._calling("null_description"):
            return str(self.inner.null_description)

    def null_probabilities(self, problems: Sequence[Problem]) -> Sequence[float | None]:
        what = f"{len(problems):,} problems, the first {_shown(problems[0])}" if problems else "no problems"
        with self._calling("null_probabilities", what):
            chances = [None if chance is None else float(chance) for chance in self.inner.null_probabilities(problems)]
            if len(chances) != len(problems):
                raise ValueError(f"it returned {len(chances):,} chances for {len(problems):,} problems")
            for problem, chance in zip(problems, chances, strict=True):
                if chance is not None and not 0 <= chance <= 1:
                    raise ValueError(f"it returned {chance!r} for {_shown(problem)}, which is no probability")
        return chances


class _Golds(GuardedTask):
    def gold_answers(self, problem: Problem) -> Sequence[str]:
        with self._calling("gold_answers", _shown(problem)):
            golds = tuple(self.inner.gold_answers(problem))
            if not all(isinstance(gold, str) for gold in golds):
                raise TypeError(f"it returned {_cut(golds)}, which are not all texts")
        return golds


class _Forms(GuardedTask):
    def value(self, problem: Problem, answer: str | None) -> Fraction | None:
        with self._calling("value", f"{_shown(problem)}, answer {answer!r}"):
            value: Fraction | None = self.inner.value(problem, answer)
            hash(value)
        return value

    def expression(self, problem: Problem, completion: str) -> str | None:
        with self._calling("expression", f"{_shown(problem)}, completion {_cut(completion)}"):
            spelled: str | None = self.inner.expression(problem, completion)
        return spelled


class _Keyed(GuardedTask):
    def content_key(self, fields: Mapping[str, Any]) -> str | None:
        with self._calling("content_key", _cut(dict(fields))):
            key: str | None = self.inner.content_key(fields)
        return key


class _Auditing(GuardedTask):
    def audit(self, data: DataSet, problems: tuple[int, int], training: tuple[int, int]) -> Audit:
        with self._calling("audit", f"problems {problems[0]}:{problems[1]}"):
            audit: Audit = self.inner.audit(data, problems, training)
        return audit


class _Slow(GuardedTask):
    @property
    def slow_scorers(self) -> Mapping[str, float]:
        with self._calling("slow_scorers"):
            return {str(name): float(limit_s) for name, limit_s in dict(self.inner.slow_scorers).items()}


class _VerdictKeys(GuardedTask):
    def verdict_key(self, problem: Problem, completion: str, scorer: str) -> str:
        with self._calling("verdict_key", f"{_shown(problem)}, completion {_cut(completion)}"):
            key: str = self.inner.verdict_key(problem, completion, scorer)
        return key


class _Defaulted(GuardedTask):
    @property
    def defaults(self) -> TaskDefaults:
        with self._calling("defaults"):
            return TaskDefaults(*self.inner.defaults)


_ADDED: tuple[tuple[type[Any], type[GuardedTask]], ...] = (
    (Guessable, _Guessing),
    (GoldAnswered, _Golds),
    (AnswerForms, _Forms),
    (ContentKeyed, _Keyed),
    (Audited, _Auditing),
    (SlowScored, _Slow),
    (VerdictKeyed, _VerdictKeys),
    (WithDefaults, _Defaulted),
)


def guarded(task: Any, label: str, file: str | None = None) -> Task:
    """``task`` behind a guard that has the same optional protocols.

    Raises:
        TaskError: it has no name, or an attribute raises.
    """
    plain = GuardedTask(task, label, file)
    with plain._calling("attributes"):
        added = tuple(guard for protocol, guard in _ADDED if isinstance(task, protocol))
    if not added:
        return plain
    made: Task = type("GuardedTask", added, {})(task, label, file)
    return made


def describe(error: BaseException) -> str:
    """An exception of a task in one line, with the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent != _HERE and not frame.filename.startswith("<")]
    place = f" (line {own[-1].lineno} of {own[-1].filename})" if own else ""
    return f"{type(error).__name__}: {_cut_text(' '.join(str(error).split()))}{place}"


def _shown(problem: Problem) -> str:
    return f"problem {problem.index} ({_cut(problem.inputs)})"


def _cut(value: Any) -> str:
    return _cut_text(repr(value[:_SHOWN] if isinstance(value, str) else value))


def _cut_text(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
