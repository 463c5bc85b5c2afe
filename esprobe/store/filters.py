"""Queries for selected rollouts, which use the primary key (condition, seed, problem) and never scan a condition."""

from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any

from esprobe.store.database import scalars

# The distinct seeds of a condition by one index look-up each; a plain SELECT DISTINCT would read every row.
_SEEDS = (
    "WITH RECURSIVE drawn (seed) AS (SELECT min(seed) FROM rollout WHERE condition_id = :condition UNION ALL "
    "SELECT (SELECT min(seed) FROM rollout WHERE condition_id = :condition AND seed > drawn.seed) "
    "FROM drawn WHERE drawn.seed IS NOT NULL) "
)


@dataclass(frozen=True)
class RolloutFilter:
    """Which rollouts to show; None for any.

    Attributes:
        condition_ids: the conditions, in the order in which to show them.
        problem: index of the problem.
        seed: the seed of the rollout.
        correct: the verdict.
    """

    condition_ids: Sequence[int]
    problem: int | None = None
    seed: int | None = None
    correct: bool | None = None


def keys_of(connection: Connection, selection: RolloutFilter, condition_id: int) -> tuple[str, dict[str, Any]]:
    """A query for the matching rows of table rollout in one condition, and its parameters."""
    values: dict[str, Any] = {"condition": condition_id}
    where = ["rollout.condition_id = :condition"]
    source = "SELECT rollout.* FROM rollout"
    if selection.seed is not None:
        where.append("rollout.seed = :seed")
        values["seed"] = selection.seed
    if selection.problem is not None:
        ids = scalars(connection, "SELECT id FROM problem WHERE problem_index = ?", (selection.problem,))
        where.append(f"rollout.problem_id IN ({', '.join(str(int(id_)) for id_ in ids)})")
        if selection.seed is None:
            source = f"{_SEEDS}SELECT rollout.* FROM drawn CROSS JOIN rollout"
            where.append("rollout.seed = drawn.seed")
    if selection.correct is not None:
        where.append("rollout.correct = :correct")
        values["correct"] = int(selection.correct)
    return f"{source} WHERE {' AND '.join(where)} ORDER BY rollout.seed, rollout.problem_id", values
