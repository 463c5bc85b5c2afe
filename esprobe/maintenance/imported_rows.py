"""Parsing rollouts of other tools from JSON lines.

Lines have one of two formats, which may be mixed in a file. One problem with its samples, as in Large Language Monkeys:
``{"problem": 3, "samples": ["text", ...], "is_corrects": [true, ...]}``; or one rollout:
``{"problem": 3, "completion": "text", "correct": true}``. A problem is an index, or its text (also as "question" or
"prompt"), unless the caller knows it by other keys. Optional keys of a rollout: seed, reward, answer, failure,
token_count, finish_reason, condition_digest, and those of ``Origin``.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from esprobe.errors import DataError
from esprobe.paths import kind_of
from esprobe.spec import FinishReason
from esprobe.store.storable import storable

PROBLEM_KEYS = ("problem", "question", "prompt")
"""Keys whose value names a problem, the most telling first."""

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
"""Finds the problem of a line's fields; raises ValueError, whose message follows "line 3 of FILE", if it cannot."""


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
        line: number of its line, from 1.
        problem: index of its problem, or the problem's text.
        by_content: whether the problem was found by what the line says of it, and not by a number.
        seed: None for the seed that follows that of its problem's previous row, or 0.
        correct: the file's verdict; None if it has none.
        condition: ``condition_digest``, which esprobe's own exports contain; None if absent.
        origin: more about that condition, likewise.
    """

    line: int
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


def read_rows(path: Path, name_problem: NameProblem = given_problem) -> Iterator[ImportedRow]:
    """Every rollout of a file, in order; blank lines are skipped.

    Args:
        path: the file.
        name_problem: finds the problem of a line.

    Raises:
        DataError: the file cannot be read, or a line has neither format; the message contains the line number.
    """
    if kind_of(path) in ("folder", "other"):
        raise DataError(
            f"{path} is not a regular file, and an import reads its file more than once; save it as a file first"
        )
    try:
        with path.open(encoding="utf-8-sig") as file:  # some programs begin a file with a byte order mark
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield from _line(path, number, line, name_problem)
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "not UTF-8"
        raise DataError(f"{path} cannot be read ({reason}); name a file of JSON lines") from err


def _line(path: Path, number: int, line: str, name_problem: NameProblem) -> Iterator[ImportedRow]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as err:
        raise _wrong(path, number, f"is not valid JSON ({err})") from err
    if not isinstance(fields, dict):
        raise _wrong(path, number, "is not a JSON object")
    try:
        named = name_problem(fields)
    except ValueError as err:
        raise _wrong(path, number, str(err)) from err
    if "samples" not in fields:
        yield _row(path, number, named, fields)
        return
    samples, verdicts = fields["samples"], fields.get("is_corrects")
    if not isinstance(samples, list):
        raise _wrong(path, number, '"samples" must be a list of completions')
    if verdicts is not None and (not isinstance(verdicts, list) or len(verdicts) != len(samples)):
        raise _wrong(path, number, f'"is_corrects" must be a list of {len(samples)} verdicts, one per sample')
    for index, sample in enumerate(samples):
        one = dict(sample) if isinstance(sample, dict) else {"completion": sample}
        if verdicts is not None:
            one.setdefault("correct", verdicts[index])
        yield _row(path, number, named, one)


def _row(path: Path, number: int, named: NamedProblem, fields: Mapping[str, Any]) -> ImportedRow:
    completion, correct, reward = fields.get("completion"), fields.get("correct"), fields.get("reward")
    if not isinstance(completion, str):
        raise _wrong(path, number, '"completion" must be a string')
    if correct in (0, 1):
        correct = bool(correct)
    for name, wrong, must in (
        ("correct", correct is not None and not isinstance(correct, bool), "true or false"),
        ("reward", reward is not None and not _is_number(reward), "a number"),
    ):
        if wrong:
            raise _wrong(path, number, f'"{name}" must be {must}')
    return ImportedRow(
        line=number,
        problem=named.problem,
        by_content=named.by_content,
        seed=_integer(path, number, fields, "seed"),
        completion=storable(completion),
        correct=correct,
        reward=None if reward is None else float(reward),
        answer=_text(path, number, fields, "answer"),
        failure=_text(path, number, fields, "failure"),
        token_count=_integer(path, number, fields, "token_count") or 0,
        finish_reason=_finish_reason(fields.get("finish_reason")),
        condition=_text(path, number, fields, "condition_digest"),
        origin=_origin(fields),
    )


def _finish_reason(value: object) -> FinishReason:
    """The value if it is one of ours: other tools have other words, and null where a generation was interrupted."""
    return cast(FinishReason, value) if value in _FINISH_REASONS else "unknown"


def _origin(fields: Mapping[str, Any]) -> Origin:
    """What a row says of its condition. Other tools give these keys other meanings, so that nothing is refused here."""
    values = ((name, fields.get(name)) for name in Origin._fields if name != "sigma")
    texts = {name: storable(value) for name, value in values if isinstance(value, str)}
    return Origin(**dict.fromkeys(Origin._fields) | texts | {"sigma": fields.get("sigma")})


def _is_number(value: object) -> bool:
    # A comparison also takes integers too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _integer(path: Path, number: int, fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_INTEGER):
        raise _wrong(path, number, f'"{name}" must be an integer, at least 0')
    return value


def _text(path: Path, number: int, fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(path, number, f'"{name}" must be a string')
    return None if value is None else storable(value)


def _wrong(path: Path, number: int, what: str) -> DataError:
    return DataError(f"line {number} of {path} {what}, so nothing was imported; correct it and run the command again")
