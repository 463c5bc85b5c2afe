"""``passk --format json``: a stable contract. New keys may be added under a new schema number only."""

import json
from collections.abc import Mapping
from typing import Any

from esprobe.report.notes_text import null_description
from esprobe.results.results import ConditionResult, Results
from esprobe.stats.curve import Curve

SCHEMA = 2


def as_json(results: Results) -> str:
    """The curves as JSON, indented by 2; a missing interval is null, and no value is ever NaN."""
    return dump(
        {
            "schema": SCHEMA,
            "task": results.task,
            "conditions": [condition_entry(one, results.labels[one.id]) for one in results.conditions],
            "nulls": null_entries(results),
        }
    )


def condition_entry(result: ConditionResult, name: str) -> dict[str, Any]:
    """One condition under the contract's keys; ``name`` is its label in tables."""
    return {
        "id": result.id,
        "label": result.condition.label,
        "name": name,
        "task": result.condition.task,
        "kind": result.kind,
        "sigma": result.condition.sigma,
        "temperature": result.condition.temperature,
        "model": result.condition.model,
        "problems": result.problems,
        "samples_min": result.samples_min,
        "samples_max": result.samples_max,
        "rollouts": result.totals.rollouts,
        "tokens": result.totals.tokens,
        "pass_at_k": point_entries(result.curve),
    }


def null_entries(results: Results) -> list[dict[str, Any]]:
    """The nulls, each with a label, a description and a curve."""
    return [
        {
            "label": null.label,
            "description": null_description(null),
            "pass_at_k": point_entries(null.curve),
            "by_group": {part.group: point_entries(part.curve) for part in null.by_group},
        }
        for null in results.nulls
    ]


def point_entries(curve: Curve) -> list[dict[str, Any]]:
    """One entry per k."""
    return [
        {"k": p.k, "estimate": p.estimate, "ci_low": p.ci_low, "ci_high": p.ci_high, "problems": p.problems}
        for p in curve.points
    ]


def dump(document: Mapping[str, Any]) -> str:
    """JSON as every file of esprobe has it: two spaces, ASCII, no NaN."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
