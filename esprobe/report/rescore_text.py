"""What another scorer changes, as a table for a terminal and as JSON."""

import json
from collections.abc import Sequence

from esprobe.records import VerdictChanges
from esprobe.report.text import count
from esprobe.safe_text import plain
from esprobe.tables import boxed

SCHEMA = 1
_COUNTS = ("rollouts", "correct", "correct now", "right to wrong", "wrong to right", "reward", "answer", "failure")


def as_table(changes: Sequence[VerdictChanges]) -> str:
    """One line a condition: how many are correct under the old and the new scorer, and what else differs in how many.

    "failure" counts rollouts that stay wrong for another reason.
    """
    rows = []
    for c in changes:
        label = f"{c.condition.id} {plain(c.condition.condition.label)}"
        counts = (c.correct_before, c.correct_after, c.lost, c.gained, c.rewards, c.answers, c.failures)
        rows.append([label, count(c.rollouts), *map(count, counts)])
    old, new = ({plain(s) for c in changes for s in c.before}, {plain(c.scorer) for c in changes})
    title = f"scored by {', '.join(sorted(old))}, now by {', '.join(sorted(new))}; verdicts that change:\n\n"
    return title + boxed(("condition", *_COUNTS), rows)


def as_json(changes: Sequence[VerdictChanges], written: bool) -> str:
    """Everything that the table has, and whether the new verdicts were stored."""
    conditions = [
        {
            "id": c.condition.id,
            "label": c.condition.condition.label,
            "kind": c.condition.condition.kind,
            "model": c.condition.condition.model,
            "from": list(c.before),
            "to": c.scorer,
            "rollouts": c.rollouts,
            "correct_before": c.correct_before,
            "correct_after": c.correct_after,
            "right_to_wrong": c.lost,
            "wrong_to_right": c.gained,
            "other_reward": c.rewards,
            "other_answer": c.answers,
            "other_failure": c.failures,
            "changed": c.changed,
        }
        for c in changes
    ]
    return json.dumps({"schema": SCHEMA, "written": written, "conditions": conditions}, indent=2) + "\n"
