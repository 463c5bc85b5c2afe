"""Rows of the mathematics evaluation of limit-of-RLVR (and of Qwen2.5-Math, from which it derives)."""

from pathlib import Path
from typing import Any

from esprobe.maintenance.import_forms.forms import Fields, Form, Found, Plan, Rollout, wrong
from esprobe.maintenance.import_forms.json_lines import records

_PROBLEM_COLUMNS = ("question", "level", "type")


def _listed(path: Path, place: str, line: Fields, name: str, count: int) -> list[Any]:
    values = line.get(name)
    if values is None:
        return [None] * count
    if not isinstance(values, list) or len(values) != count:
        raise wrong(path, place, f'"{name}" must be a list of {count} values, one per text of "code"')
    return values


def _found(path: Path) -> Found:
    for place, line in records(path):
        if "idx" not in line or not isinstance(line.get("code"), list):
            raise wrong(path, place, 'has no "idx" or no list "code"')
        texts = line["code"]
        verdicts, answers, reasons = (
            _listed(path, place, line, name, len(texts)) for name in ("score", "pred", "finish_reason")
        )
        columns = {name: line[name] for name in _PROBLEM_COLUMNS if name in line} | {"problem": line["idx"]}
        for seed, (text, verdict, answer, reason) in enumerate(zip(texts, verdicts, answers, reasons, strict=True)):
            fields = {"problem": line["idx"], "completion": text, "correct": verdict, "seed": seed}
            fields |= {"answer": answer if isinstance(answer, str) else None, "finish_reason": reason}
            yield Rollout(f"{place}, text {seed + 1}", fields, columns)


def _plan(path: Path, score: str | None) -> Plan:
    mapping = "idx is the problem, code the completions, score the verdicts, pred the answers"
    return Plan(mapping, lambda: _found(path), "it has no score")


FORM = Form(
    "limit-of-RLVR rows",
    "idx, code, score",
    lambda record: "idx" in record and isinstance(record.get("code"), list) and "score" in record,
    _plan,
)
