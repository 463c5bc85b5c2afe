"""Logs of inspect_ai: ``.eval``, a zip file with a member per sample and epoch, or one JSON document.

Format: inspect_ai/log/_log.py and inspect_ai/log/_recorders/eval.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from esprobe.errors import DataError
from esprobe.maintenance.import_forms.forms import Failed, Fields, Form, Found, Plan, Rollout, choose, wrong
from esprobe.maintenance.import_forms.json_lines import parsed, records
from esprobe.maintenance.import_forms.texts import content_of, mapping_of, question_of
from esprobe.maintenance.import_forms.zip_members import member_names, members

NAME = "an inspect_ai log"

_WORDS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""What inspect_ai's own ``value_to_float`` makes of the words that its scorers give."""

_ATTACHMENT = "attachment://"
_Samples = Callable[[], Iterator[tuple[str, Fields]]]


def _of_zip(path: Path) -> Iterator[tuple[str, Fields]]:
    present = member_names(path)
    names = [name for name in present if name.startswith("samples/") and name.endswith(".json")]
    if not names and not any(name in present for name in ("header.json", "_journal/start.json")):
        raise DataError(
            f"{path} is a zip file, but no log of inspect_ai: it has no header.json and no samples; name a file that "
            f"it contains"
        )
    for name, content in members(path, names):
        sample = parsed(path, name, content)
        yield _place(sample), sample


def _of_document(path: Path) -> Iterator[tuple[str, Fields]]:
    for place, document in records(path):
        samples = document.get("samples")
        if not isinstance(samples, list):
            raise wrong(path, place, 'has no list "samples", as a log of which only the header was saved')
        for number, sample in enumerate(samples):
            if not isinstance(sample, dict):
                raise wrong(path, f"sample {number + 1}", "is not a JSON object")
            yield _place(sample), sample


def _place(sample: Fields) -> str:
    return f"sample {str(sample.get('id'))[:40]}, epoch {str(sample.get('epoch'))[:20]}"


def _values(sample: Fields) -> dict[str, Any]:
    """The value of each score by its name, "scorer" or "scorer.key" where a scorer gives several."""
    values: dict[str, Any] = {}
    for name, score in mapping_of(sample.get("scores")).items():
        value = mapping_of(score).get("value")
        if isinstance(value, dict):
            values |= {f"{name}.{key}": one for key, one in value.items()}
        else:
            values[name] = value
    return values


def _reward(path: Path, place: str, name: str, value: Any) -> float | None:
    if isinstance(value, str) and (value in _WORDS or value.lower() in _WORDS):
        return _WORDS[value if value in _WORDS else value.lower()]
    if value is None or (isinstance(value, int | float) and value == value and abs(value) < 1e300):
        return None if value is None else float(value)
    raise wrong(path, place, f"has the score {str(value)[:40]!r} by {name[:40]}, which is neither C, I nor a number")


def _completion(sample: Fields) -> tuple[Any, str]:
    output = mapping_of(sample.get("output"))
    choices = output.get("choices")
    first = mapping_of(choices[0]) if isinstance(choices, list) and choices else {}
    text = output.get("completion")
    if not isinstance(text, str):  # logs of early versions have the message only
        text = content_of(mapping_of(first.get("message")))
    reasons = {"stop": "stop", "max_tokens": "length"}
    return _attached(sample, text), reasons.get(str(first.get("stop_reason")), "unknown")


def _attached(sample: Fields, text: Any) -> Any:
    if isinstance(text, str) and text.startswith(_ATTACHMENT):
        return mapping_of(sample.get("attachments")).get(text.removeprefix(_ATTACHMENT), text)
    return text


def _found(path: Path, samples: _Samples, score: str | None) -> Found:
    for place, sample in samples():
        if sample.get("error") is not None:
            yield Failed(place)
            continue
        problem, epoch = sample.get("id"), sample.get("epoch", 1)
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 1:
            raise wrong(path, place, "has no epoch, which must be an integer from 1 on")
        completion, reason = _completion(sample)
        reward = None if score is None else _reward(path, place, score, _values(sample).get(score))
        usage = mapping_of(mapping_of(sample.get("output")).get("usage"))
        fields = {
            "problem": problem,
            "completion": completion,
            "seed": epoch - 1,
            "reward": reward,
            "correct": None if reward is None else reward >= 1,
            "token_count": usage.get("output_tokens"),
            "finish_reason": reason,
        }
        question = _attached(sample, question_of(sample.get("input")))
        named = {"problem": problem} if question is None else {"question": question}
        yield Rollout(place, fields, mapping_of(sample.get("metadata")) | named)


def _planned(path: Path, samples: _Samples, score: str | None) -> Plan:
    named: dict[str, None] = {}
    for _, sample in samples():
        if sample.get("error") is None:
            named |= dict.fromkeys(_values(sample))
    name = choose(path, list(named), score, "scores")
    verdict = "no verdict (no scores)" if name is None else f"score {name} the verdict (C, or a number of at least 1)"
    mapping = f"id is the problem, epoch the seed (from 1), output the completion, {verdict}"
    why = "its samples have no scores; score the log with: inspect score" if name is None else None
    return Plan(mapping, lambda: _found(path, samples, name), why)


def _is_document(record: Fields) -> bool:
    return isinstance(record.get("eval"), dict) and "status" in record and ("version" in record or "plan" in record)


ZIPPED = Form(
    NAME,
    "a zip file with samples/*.json",
    lambda record: False,  # a zip file has no first record: it is recognised by its signature
    lambda path, score: _planned(path, lambda: _of_zip(path), score),
    takes_score=True,
)
DOCUMENT = Form(
    NAME,
    "version, status, eval, samples",
    _is_document,
    lambda path, score: _planned(path, lambda: _of_document(path), score),
    takes_score=True,
)
