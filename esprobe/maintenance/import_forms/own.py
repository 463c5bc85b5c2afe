"""esprobe's own two forms of lines: a problem with its samples, or a rollout. Both may stand in one file."""

from pathlib import Path
from typing import Any

from esprobe.maintenance.import_forms.forms import Fields, Form, Found, Plan, Rollout, wrong
from esprobe.maintenance.import_forms.json_lines import records

PROBLEM_KEYS = ("problem", "question", "prompt")
"""Keys whose value names a problem, the most telling first."""


def _found(path: Path) -> Found:
    for place, line in records(path):
        if "samples" in line:
            yield from samples_of(path, place, line, {key: line[key] for key in PROBLEM_KEYS if key in line}, line)
        else:
            yield Rollout(place, line, line)


def samples_of(path: Path, place: str, line: Fields, problem: Fields, columns: Fields) -> Found:
    """The rollouts of a problem with "samples", and "is_corrects" beside them.

    Raises:
        DataError: they are no lists, or of different lengths.
    """
    samples, verdicts = line["samples"], line.get("is_corrects")
    if not isinstance(samples, list):
        raise wrong(path, place, '"samples" must be a list of completions')
    if verdicts is not None and (not isinstance(verdicts, list) or len(verdicts) != len(samples)):
        raise wrong(path, place, f'"is_corrects" must be a list of {len(samples)} verdicts, one per sample')
    for index, sample in enumerate(samples):
        one: dict[str, Any] = dict(sample) if isinstance(sample, dict) else {"completion": sample}
        if verdicts is not None:
            one.setdefault("correct", verdicts[index])
        own = {key: value for key, value in one.items() if key not in PROBLEM_KEYS}
        yield Rollout(place, {**own, **problem}, columns)


def _plan(path: Path, score: str | None) -> Plan:
    mapping = "problem (or question, prompt) is the problem, completion (or samples) the completion, correct (or "
    return Plan(mapping + "is_corrects) the verdict", lambda: _found(path))


FORM = Form(
    "lines of rollouts",
    "problem (or question, prompt) with completion or samples",
    lambda record: "completion" in record or "samples" in record,
    _plan,
)
