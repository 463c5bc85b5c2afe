"""Checking the rollouts of other tools, whichever form their file has.

A problem is an index, or its text (also as "question" or "prompt"), unless the caller knows it by other keys. Optional
keys of a rollout: seed, reward, answer, failure, token_count, finish_reason, condition_digest, and those of ``Origin``.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from esprobe.maintenance.import_forms import PROBLEM_KEYS, Reading
from esprobe.maintenance.import_forms.forms import wrong
from esprobe.spec import FinishReason
from esprobe.store.storable import storable

_FINISH_REASONS = ("stop", "length", "loop")
_MOST_INTEGER = 2**63 - 1


class NamedProblem(NamedTuple):
    """The problem of a line.

    Attributes:
        problem: its index, or its text.
        by_content: whether it was found by what the line says of it, and not by a number.
    """

    problem: int | str
    by_content: bool


NameProblem = Callable[[Mapping[str, Any]], NamedProblem]
"""Finds the problem of a line's columns; raises ValueError, whose message follows "line 3 of FILE", if it cannot."""


class Origin(NamedTuple):
    """The condition that a row of an esprobe export was sampled under, as the row says; None for what it does not say.

    Attributes:
        sigma: the value as it stands, unchecked.
    """

    kind: str | None
    sigma: object
    noise: str | None
    scope: str | None
    model: str | None
    model_fingerprint: str | None
    dtype: str | None
    engine: str | None
    task: str | None
    data_digest: str | None


@dataclass(frozen=True)
class ImportedRow:
    """One rollout of an imported file.

    Attributes:
        place: where it stands in the file, such as "line 3".
        problem: index of its problem, or the problem's text.
        by_content: whether the problem was found by what the line says of it, and not by a number.
        seed: None for the seed that follows that of its problem's previous row, or 0.
        correct: the file's verdict; None if it has none.
        condition: ``condition_digest``, which esprobe's own exports contain; None if absent.
        origin: more about that condition, likewise.
    """

    place: str
    problem: int | str
    by_content: bool
    seed: int | None
    completion: str
    correct: bool | None
    reward: float | None
    answer: str | None
    failure: str | None
    token_count: int
    finish_reason: FinishReason
    condition: str | None
    origin: Origin


def given_problem(fields: Mapping[str, Any]) -> NamedProblem:
    """The problem that a line names by its index or its text.

    Raises:
        ValueError: it names none.
    """
    problem = next((fields[key] for key in PROBLEM_KEYS if fields.get(key) is not None), None)
    if isinstance(problem, str):
        return NamedProblem(storable(problem), by_content=True)
    if isinstance(problem, bool) or not isinstance(problem, int) or not 0 <= problem <= _MOST_INTEGER:
        raise ValueError('has no valid "problem", which must be an index (at least 0) or the problem\'s text')
    return NamedProblem(problem, by_content=False)


def read_rows(reading: Reading, name_problem: NameProblem | None = None) -> Iterator[ImportedRow]:
    """Every rollout of a file, in order.

    Args:
        reading: the file.
        name_problem: finds the problem of a rollout's columns; None: it is what the rollout itself names.

    Raises:
        DataError: the file cannot be read, or a rollout lacks a value or has a wrong one; the message says where.
    """
    path, columns, named = reading.path, None, NamedProblem(0, by_content=False)
    for place, fields, of_problem in reading:
        try:
            if name_problem is None:
                named = given_problem(fields)
            elif of_problem is not columns:  # the samples of a problem share them
                named, columns = name_problem(of_problem), of_problem
        except ValueError as err:
            raise wrong(path, place, str(err)) from err
        yield _row(path, place, named, fields)


def _row(path: Path, place: str, named: NamedProblem, fields: Mapping[str, Any]) -> ImportedRow:
    completion, correct, reward = fields.get("completion"), fields.get("correct"), fields.get("reward")
    if not isinstance(completion, str):
        raise wrong(path, place, '"completion" must be a string')
    if correct in (0, 1):
        correct = bool(correct)
    for name, is_wrong, must in (
        ("correct", correct is not None and not isinstance(correct, bool), "true or false"),
        ("reward", reward is not None and not _is_number(reward), "a number"),
    ):
        if is_wrong:
            raise wrong(path, place, f'"{name}" must be {must}')
    return ImportedRow(
        place=place,
        problem=named.problem,
        by_content=named.by_content,
        seed=_integer(path, place, fields, "seed"),
        completion=storable(completion),
        correct=correct,
        reward=None if reward is None else float(reward),
        answer=_text(path, place, fields, "answer"),
        failure=_text(path, place, fields, "failure"),
        token_count=_integer(path, place, fields, "token_count") or 0,
        finish_reason=_finish_reason(fields.get("finish_reason")),
        condition=_text(path, place, fields, "condition_digest"),
        origin=_origin(fields),
    )


def _finish_reason(value: object) -> FinishReason:
    """The value if it is one of ours: other tools have other words, and null where a generation was interrupted."""
    return cast(FinishReason, value) if isinstance(value, str) and value in _FINISH_REASONS else "unknown"


def _origin(fields: Mapping[str, Any]) -> Origin:
    """What a row says of its condition. Other tools give these keys other meanings, so that nothing is refused here."""
    values = ((name, fields.get(name)) for name in Origin._fields if name != "sigma")
    texts = {name: storable(value) for name, value in values if isinstance(value, str)}
    return Origin(**dict.fromkeys(Origin._fields) | texts | {"sigma": fields.get("sigma")})


def _is_number(value: object) -> bool:
    # A comparison also takes integers too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _integer(path: Path, place: str, fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_INTEGER):
        raise wrong(path, place, f'"{name}" must be an integer, at least 0')
    return value


def _text(path: Path, place: str, fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(path, place, f'"{name}" must be a string')
    return None if value is None else storable(value)
