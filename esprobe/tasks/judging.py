"""Verdicts that can be stored, whatever a scorer does: what it raises on one text costs that text and no more."""

import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esprobe.errors import DataError, TaskError
from esprobe.spec import Problem, Score
from esprobe.tasks.base import Task
from esprobe.tasks.python_file import is_location

SCORER_ERROR = "scorer-error"
"""The failure of a text on which the scorer raised, exited, or returned what is no verdict."""

FAILED = Score(0.0, False, None, SCORER_ERROR)


class Scorer:
    """One scorer of a task; the first text that it fails on is told."""

    def __init__(
        self,
        task: Task,
        name: str,
        warn: Callable[[str], None],
        database: Path | None,
        *,
        problems_may_be_damaged: bool = False,
    ) -> None:
        """Choose a scorer.

        Args:
            task: the task.
            name: one of its scorers.
            warn: called with the first failure.
            database: where the texts are stored, for the warning; None where it is not known.
            problems_may_be_damaged: whether a DataError means that, so that it is raised.
        """
        self.task = task
        self.name = name
        self._warn = warn
        self._database = database
        self._problems_may_be_damaged = problems_may_be_damaged
        self._is_told = False

    def __call__(self, problem: Problem, completion: str) -> Score:
        """The verdict on a completion; ``FAILED`` if the scorer has none.

        Raises:
            DataError: the problem's inputs are not of the task's form, and they may be damaged.
        """
        try:
            return checked(self.task.score(problem, completion, self.name))
        except DataError as error:
            if self._problems_may_be_damaged:
                raise
            return self._failed(problem, str(error))
        except TaskError as error:
            return self._failed(problem, str(error))

    def _failed(self, problem: Problem, why: str) -> Score:
        if not self._is_told:
            self._is_told = True
            self._warn(failure_message(self.name, problem, why, self._database))
        return FAILED


def failure_message(scorer: str, problem: Problem, why: str, database: Path | None) -> str:
    """That a scorer has failed on a text, what becomes of it, and the command that scores it again."""
    # Without its version: a corrected one may have another.
    name = scorer if is_location(scorer) else scorer.partition("/")[0]
    again = f"esprobe rescore --db {shlex.quote(str(database or 'FILE'))} --scorer {shlex.quote(name)} --force --write"
    return (
        f"scorer {scorer} failed on a completion of problem {problem.index}, which counts as wrong (failure "
        f"{SCORER_ERROR}), as all others will on which it fails: {why.partition('; esprobe cannot')[0]}. The text is "
        f"stored; correct the scorer, then: {again}"
    )


def checked(verdict: Any) -> Score:
    """A verdict with values that a database can store.

    Raises:
        TaskError: it is not a Score of finite reward, truth value, text or None, and a word if and only if it is not
            correct.
    """
    try:
        reward, correct, answer, failure = verdict
        if not (type(reward) is float and type(correct) is bool):
            reward, correct = float(reward), _truth(correct)
        if not (math.isfinite(reward) and _is_text(answer) and _is_text(failure)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise TaskError(
            f"it returned {_shown(verdict)}, which is not a Score(reward, correct, answer, failure) of a finite "
            f"number, True or False, a text or None, and a word or None"
        ) from None
    if correct and failure:
        raise TaskError(f"it returned {_shown(verdict)}, which is correct and has a failure, which must be None then")
    if not (correct or failure):
        raise TaskError(f"it returned {_shown(verdict)}, which is not correct and has no failure, which must be a word")
    return Score(reward, correct, answer, failure or None)


def _shown(value: Any) -> str:
    try:
        return repr(value)[:200]
    except Exception:  # of a class of the task
        return f"a {type(value).__name__}"


def _truth(value: Any) -> bool:
    if value in (0, 1):
        return bool(value)
    raise ValueError


def _is_text(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, str):
        return False
    return value.isascii() or value.encode(errors="replace").decode() == value
