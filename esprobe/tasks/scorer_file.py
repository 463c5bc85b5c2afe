"""A scorer in a file of its user's: ``FILE.py:NAME``, a function of a problem's inputs and a completion."""

from collections.abc import Callable, Mapping
from typing import Any

from esprobe.errors import TaskError, UsageError
from esprobe.spec import Problem, Score
from esprobe.tasks.judging import checked
from esprobe.tasks.python_file import digest_at, is_location, load_object

LIMIT_S = 10.0
"""Seconds that such a function may take for one completion."""

_KEYS = ("reward", "correct", "answer", "failure")


def is_scorer_file(name: str) -> bool:
    """Whether a scorer's name is that of a function in a file."""
    return is_location(name)


def stored_name(location: str) -> str:
    """How a database names the scorer: its name, and the start of the digest of its file as its version."""
    return f"{location.rpartition(':')[2]}/{digest_at(location)[:12]}"


def load_scorer(location: str) -> Callable[[Problem, str], Score]:
    """The function as a scorer.

    Raises:
        TaskError: the file cannot be loaded.
        UsageError: it has no such function.
    """
    function = load_object(location)
    if not callable(function):
        raise UsageError(f"{location} is no function, so it cannot score; define one of (inputs, completion)")
    return lambda problem, completion: as_score(function(dict(problem.inputs), completion))


def as_score(value: Any) -> Score:
    """A verdict from what a function may return: True or False, a reward (1 is correct), or the parts of a Score.

    Raises:
        TaskError: it is none of these.
    """
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return checked(Score(float(value), bool(value), None, None if value else "wrong"))
    if isinstance(value, int | float):
        return checked(Score(float(value), value >= 1, None, None if value >= 1 else "wrong"))
    if isinstance(value, Mapping):
        if unknown := set(value) - set(_KEYS):
            raise TaskError(f"it returned a mapping with {sorted(map(str, unknown))}; the keys are {', '.join(_KEYS)}")
        if "correct" not in value and "reward" not in value:
            raise TaskError("it returned a mapping without 'correct' and 'reward'; one of both is needed")
        correct = value.get("correct", value.get("reward", 0) >= 1)
        answer = value.get("answer")
        failure = value.get("failure") or (None if correct else "wrong")
        return checked((value.get("reward", float(correct)), correct, None if answer is None else str(answer), failure))
    return checked(value)
