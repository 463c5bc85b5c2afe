"""``report --format json``: everything the full report says, for programs."""

from dataclasses import asdict
from typing import Any

from esprobe.report.compare_json import comparison_entry, overlap_entry
from esprobe.report.gain_json import gain_entry
from esprobe.report.passk_json import SCHEMA, condition_entry, dump, null_entries, point_entries
from esprobe.report.training_selection_json import training_selection_entry
from esprobe.report.verdict_json import selection_entry, verdict_entry
from esprobe.results.results import ConditionResult, Results
from esprobe.results.training_gain import TrainingGain


def as_report_json(results: Results) -> str:
    """The pass@k document with each condition's identity, plan and sums, published figures and sessions added."""
    return dump(
        {
            "schema": SCHEMA,
            "task": results.task,
            "scorer": results.scorer,
            "conditions": [_entry(results, condition) for condition in results.conditions],
            "nulls": null_entries(results),
            "verdict": None if results.verdict is None else verdict_entry(results.verdict),
            "selection": None if results.selection is None else selection_entry(results.selection),
            "against_null": [comparison_entry(pair) for pair in results.against_null],
            "pairs": [comparison_entry(pair) for pair in results.pairs],
            "arms": None if results.arms is None else overlap_entry(results.arms),
            "training_selection": [training_selection_entry(made) for made in results.training_selection],
            "cost_matched": [asdict(table) for table in results.cost_matched],
            "published": [
                {"model": point.model, "method": point.method, "estimate": point.estimate}
                for point in results.published
            ],
            "sessions": [
                {
                    "id": session.id,
                    "command": session.command,
                    "scorer": session.scorer,
                    "started_utc": session.started_utc,
                    "ended_utc": session.ended_utc,
                    "outcome": session.outcome,
                    "rollouts": session.rollouts,
                    "tokens": session.tokens,
                    "host": session.host,
                    "engine": dict(session.engine),
                    "versions": dict(session.versions),
                    "hardware": dict(session.hardware),
                }
                for session in results.sessions
            ],
        }
        | _gain(results)
    )


def _gain(results: Results) -> dict[str, Any]:
    """The key of a trained model against its base, in a report that has both."""
    return (
        {"training_gain": gain_entry(results.training_gain)} if isinstance(results.training_gain, TrainingGain) else {}
    )


def _entry(results: Results, result: ConditionResult) -> dict[str, Any]:
    extent = result.extent
    plan = None
    if extent is not None:
        plan = {
            "first_index": extent.first_index,
            "stop_index": extent.stop_index,
            "problems": extent.problems,
            "first_seed": extent.first_seed,
            "samples": extent.samples,
        }
    entry = condition_entry(result, results.labels[result.id])
    for point, made in zip(entry["pass_at_k"], result.curve.points, strict=True):
        point["note"] = made.note
    return (
        entry
        | {
            "display_label": results.labels[result.id],
            "digest": result.condition.digest,
            "identity": result.condition.identity,
            "level": result.curve.level,
            "target": result.curve.target,
            "correct": result.totals.correct,
            "cut_off": result.totals.cut_off,
            "plan": plan,
            "missing": result.missing,
            "same_problems": point_entries(result.same_problems),
            "by_group": {part.group: point_entries(part.curve) for part in result.by_group},
            "detail": None if result.detail is None else asdict(result.detail),
        }
        | ({} if result.given_up is None else {"given_up": asdict(result.given_up)})
    )
