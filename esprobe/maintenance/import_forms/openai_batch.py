"""The output file of a batch of OpenAI-style requests: chat completions, completions or responses."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from esprobe.maintenance.import_forms.forms import Failed, Fields, Form, Found, Plan, Rollout, wrong
from esprobe.maintenance.import_forms.json_lines import records
from esprobe.maintenance.import_forms.texts import content_of, mapping_of, text_of

_NUMBERS = re.compile(r"\D*(\d{1,15})(?:\D+(\d{1,15}))?\D*")


def _problem(custom_id: str) -> tuple[int | str, int | None]:
    """The problem and the sample's number that an identity holds: 12, problem-12, 12-3, problem-12-sample-3."""
    match = _NUMBERS.fullmatch(custom_id)
    if match is None:
        return custom_id, None
    return int(match[1]), None if match[2] is None else int(match[2])


def _completions(body: Fields) -> Iterator[tuple[Any, Any]]:
    """The text of each choice and why it ended."""
    if isinstance(body.get("output"), list):  # the responses API
        reason = mapping_of(body.get("incomplete_details")).get("reason")
        yield text_of(body["output"]), "length" if reason == "max_output_tokens" else "stop"
        return
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        one = mapping_of(choice)
        text = one["text"] if "text" in one else content_of(mapping_of(one.get("message")))
        yield text, one.get("finish_reason")


def _found(path: Path) -> Found:
    for place, line in records(path):
        custom_id, response = line.get("custom_id"), mapping_of(line.get("response"))
        if not isinstance(custom_id, str):
            raise wrong(path, place, 'has no "custom_id"')
        body = mapping_of(response.get("body"))
        if line.get("error") is not None or response.get("status_code", 200) != 200 or not body:
            yield Failed(place)
            continue
        found = list(_completions(body))
        if not found:
            raise wrong(path, place, 'has a response without "choices" or "output"')
        problem, sample = _problem(custom_id)
        usage = mapping_of(body.get("usage"))
        count = usage.get("completion_tokens", usage.get("output_tokens")) if len(found) == 1 else None
        for text, reason in found:
            fields = {"problem": problem, "completion": text, "token_count": count, "finish_reason": reason}
            yield Rollout(place, fields | {"seed": sample if len(found) == 1 else None}, {"problem": problem})


def _plan(path: Path, score: str | None) -> Plan:
    mapping = "the first number of custom_id is the problem, the second, if there is one, the sample; response.body "
    why = "output of a batch has no verdict"
    return Plan(mapping + "has the completions; no verdict", lambda: _found(path), why)


FORM = Form(
    "OpenAI-style batch output",
    "custom_id, response",
    lambda record: "custom_id" in record and "response" in record,
    _plan,
)
