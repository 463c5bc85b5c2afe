"""``results.jsonl`` of verifiers: a line per rollout, with its messages and reward."""

from pathlib import Path
from typing import Any

from esprobe.maintenance.import_forms.forms import Failed, Form, Found, Plan, Rollout, wrong
from esprobe.maintenance.import_forms.json_lines import records
from esprobe.maintenance.import_forms.texts import columns_of, mapping_of, question_of, text_of


def _found(path: Path) -> Found:
    for place, line in records(path):
        if "example_id" not in line:
            raise wrong(path, place, 'has no "example_id"')
        if line.get("error") is not None:
            yield Failed(place)
            continue
        problem, reward = line["example_id"], line.get("reward")
        usage = mapping_of(line.get("token_usage"))
        fields = {"problem": problem, "completion": text_of(line.get("completion")), "reward": reward}
        fields["correct"] = reward >= 1 if isinstance(reward, int | float) else None
        fields["token_count"] = _count(usage.get("output_tokens"))
        fields["finish_reason"] = "length" if line.get("is_truncated") is True else "unknown"
        columns = columns_of(line.get("info"), problem)
        if not isinstance(problem, int):
            columns["problem"] = question_of(line.get("prompt")) or problem
        yield Rollout(place, fields, columns)


def _count(value: Any) -> Any:
    """Verifiers writes counts as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plan(path: Path, score: str | None) -> Plan:
    mapping = "example_id is the problem, the assistant's messages of completion are the completion, reward is the "
    return Plan(mapping + "reward and gives the verdict (correct if at least 1)", lambda: _found(path))


FORM = Form(
    "verifiers results",
    "example_id, completion, reward",
    lambda record: all(name in record for name in ("example_id", "completion", "reward")),
    _plan,
)
