"""Rollouts made elsewhere, line by line: which forms of JSON lines are understood, and what each line says.

Two forms, also mixed in one file. A problem with its samples, as in Large Language Monkeys:
``{"problem": 3, "samples": ["text", ...], "is_corrects": [true, ...]}``; and a rollout a line:
``{"problem": 3, "completion": "text", "correct": true}``. A problem is an index, or its text (also as "question" or
"prompt"). Optional in a rollout: seed, reward, answer, failure, token_count, finish_reason, condition_digest,
kind.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esprobe.errors import DataError
from esprobe.store.storable import storable

_PROBLEM_KEYS = ("problem", "question", "prompt")
_FINISH_REASONS = ("stop", "length", "loop", "unknown")
_MOST_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class ImportedRow:
    """One rollout as a file has it.

    Attributes:
        line: where it stands, from 1.
        problem: the index of its problem, or the problem's text.
        seed: names the draw; None for the next one of its problem.
        correct: the file's verdict; None if it has none.
        condition: what the file calls the condition, as esprobe's own exports do; None if it does not.
        kind: how the file says it was drawn, likewise.
    """

    line: int
    problem: int | str
    seed: int | None
    completion: str
    correct: bool | None
    reward: float | None
    answer: str | None
    failure: str | None
    token_count: int
    finish_reason: str
    condition: str | None
    kind: str | None


def read_rows(path: Path) -> Iterator[ImportedRow]:
    """Every rollout of a file, in its order; blank lines are passed over.

    Raises:
        DataError: the file cannot be read, or a line is not of either form; names the line and what is wrong.
    """
    if path.exists() and not path.is_file():
        raise DataError(
            f"{path} is no ordinary file, and an import reads its file more than once; write it to one first"
        )
    try:
        with path.open(encoding="utf-8-sig") as file:  # some programs begin a file with a byte order mark
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield from _line(path, number, line)
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "not UTF-8"
        raise DataError(f"{path} cannot be read ({reason}); name a file of JSON lines") from err


def _line(path: Path, number: int, line: str) -> Iterator[ImportedRow]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as err:
        raise _wrong(path, number, f"is no JSON ({err})") from err
    if not isinstance(found, dict):
        raise _wrong(path, number, "is no JSON object")
    problem = next((found[key] for key in _PROBLEM_KEYS if found.get(key) is not None), None)
    if (
        isinstance(problem, bool)
        or not isinstance(problem, int | str)
        or (isinstance(problem, int) and not 0 <= problem <= _MOST_INTEGER)
    ):
        raise _wrong(path, number, 'names no problem: "problem" must be an index from 0 up, or the problem\'s text')
    if isinstance(problem, str):
        problem = storable(problem)
    if "samples" not in found:
        yield _row(path, number, problem, found)
        return
    samples, verdicts = found["samples"], found.get("is_corrects")
    if not isinstance(samples, list):
        raise _wrong(path, number, '"samples" must be a list of texts')
    if verdicts is not None and (not isinstance(verdicts, list) or len(verdicts) != len(samples)):
        raise _wrong(path, number, f'"is_corrects" must be a list of {len(samples)} verdicts, one a sample')
    for index, sample in enumerate(samples):
        one = dict(sample) if isinstance(sample, dict) else {"completion": sample}
        if verdicts is not None:
            one.setdefault("correct", verdicts[index])
        yield _row(path, number, problem, one)


def _row(path: Path, number: int, problem: int | str, found: Mapping[str, Any]) -> ImportedRow:
    completion, correct, reward = found.get("completion"), found.get("correct"), found.get("reward")
    if not isinstance(completion, str):
        raise _wrong(path, number, '"completion" must be a text')
    if correct in (0, 1):
        correct = bool(correct)
    for name, wrong, must in (
        ("correct", correct is not None and not isinstance(correct, bool), "true or false"),
        ("reward", reward is not None and not _is_number(reward), "a number"),
        ("finish_reason", found.get("finish_reason", "unknown") not in _FINISH_REASONS, " or ".join(_FINISH_REASONS)),
    ):
        if wrong:
            raise _wrong(path, number, f'"{name}" must be {must}')
    return ImportedRow(
        line=number,
        problem=problem,
        seed=_integer(path, number, found, "seed"),
        completion=storable(completion),
        correct=correct,
        reward=None if reward is None else float(reward),
        answer=_text(path, number, found, "answer"),
        failure=_text(path, number, found, "failure"),
        token_count=_integer(path, number, found, "token_count") or 0,
        finish_reason=found.get("finish_reason", "unknown"),
        condition=_text(path, number, found, "condition_digest"),
        kind=_text(path, number, found, "kind"),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _integer(path: Path, number: int, found: Mapping[str, Any], name: str) -> int | None:
    value = found.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_INTEGER):
        raise _wrong(path, number, f'"{name}" must be a whole number from 0 up')
    return value


def _text(path: Path, number: int, found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(path, number, f'"{name}" must be a text')
    return None if value is None else storable(value)


def _wrong(path: Path, number: int, what: str) -> DataError:
    return DataError(f"line {number} of {path} {what}, so nothing was imported; correct it and run the command again")
