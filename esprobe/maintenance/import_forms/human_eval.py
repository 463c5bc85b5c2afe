"""JSON lines of human-eval and evalplus, and the ``*_eval_results.json`` of evalplus."""

from pathlib import Path
from typing import Any

from esprobe.errors import UsageError
from esprobe.maintenance.import_forms.forms import Fields, Form, Found, Plan, Rollout, wrong
from esprobe.maintenance.import_forms.json_lines import records

_PASS = "pass"


def _samples(path: Path) -> Found:
    for place, line in records(path):
        if "task_id" not in line:
            raise wrong(path, place, 'has no "task_id"')
        completion = line["completion"] if "completion" in line else line.get("solution")
        fields = {"problem": line["task_id"], "completion": completion, "correct": line.get("passed")}
        yield Rollout(place, fields, {"problem": line["task_id"]})


def _samples_plan(path: Path, score: str | None) -> Plan:
    first = next((line for _, line in records(path)), {})
    text = "completion" if "completion" in first else "solution"
    read = f"task_id is the problem, {text} the completion"
    if "passed" in first:
        return Plan(f"{read}, passed the verdict", lambda: _samples(path))
    why = "it has no passed, as before its tests have run; evaluate it, and import the file of results"
    return Plan(f"{read}; no verdict (no passed)", lambda: _samples(path), why)


SAMPLES = Form(
    "human-eval or evalplus samples",
    "task_id with completion or solution",
    lambda record: "task_id" in record and ("completion" in record or "solution" in record),
    _samples_plan,
)


def _solutions(path: Path) -> list[tuple[str, str, Fields]]:
    """Place, problem and fields of each solution."""
    found: list[tuple[str, str, Fields]] = []
    for where, document in records(path):
        tasks = document.get("eval")
        if not isinstance(tasks, dict):
            raise wrong(path, where, 'has no "eval" of solutions by problem')
        for task, solutions in tasks.items():
            if not isinstance(solutions, list):
                raise wrong(path, f"problem {task[:40]!r}", "must have a list of solutions")
            for number, solution in enumerate(solutions):
                place = f"solution {number + 1} of problem {task[:40]!r}"
                if not isinstance(solution, dict):
                    raise wrong(path, place, "is not a JSON object")
                found.append((place, task, solution))
    return found


def _results_plan(path: Path, score: str | None) -> Plan:
    solutions = _solutions(path)
    if score not in (None, "base", "plus"):
        raise UsageError(f"--score {score} is not known for results of evalplus; use --score plus or --score base")
    has_plus = any(fields.get("plus_status") is not None for _, _, fields in solutions)
    if score == "plus" and not has_plus:
        raise UsageError(f"--score plus needs the results of the plus tests, and {path} has none; use --score base")
    statuses = ["base_status"] if score == "base" or not has_plus else ["base_status", "plus_status"]

    def found() -> Found:
        counts: dict[str, int] = {}
        for place, task, fields in solutions:
            seed = counts[task] = counts.get(task, -1) + 1
            values: list[Any] = [fields.get(status) for status in statuses]
            correct = None if any(value is None for value in values) else all(value == _PASS for value in values)
            read = {"problem": task, "completion": fields.get("solution"), "correct": correct, "seed": seed}
            yield Rollout(place, read, {"problem": task})

    verdict = f"{' and '.join(statuses)} (pass) the verdict"
    return Plan(f"task_id is the problem, solution the completion, {verdict}", found)


def _is_results(record: Fields) -> bool:
    tasks = record.get("eval")
    if not isinstance(tasks, dict) or not tasks:
        return False
    first = next(iter(tasks.values()))
    return isinstance(first, list) and all(isinstance(one, dict) and "base_status" in one for one in first)


RESULTS = Form("evalplus results", "eval with base_status", _is_results, _results_plan, takes_score=True)
