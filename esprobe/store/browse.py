"""Single rollouts to be read by people: by condition, problem, seed and verdict, a page at a time.

Every way to choose follows the key of the rollout table (condition, seed, problem), so that a page of a file of
millions takes milliseconds; only choosing by verdict alone reads along until the page is full.
"""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from esprobe.errors import StoreError
from esprobe.records import ShownRollout, StoredRollout
from esprobe.spec import Prompt
from esprobe.store.database import damaged, translated
from esprobe.store.reader import RolloutStore
from esprobe.store.texts import checksum_column, sound_problems

# Every seed of a condition by one look-up each, where a plain SELECT DISTINCT reads every row.
_SEEDS = (
    "WITH RECURSIVE drawn (seed) AS (SELECT min(seed) FROM rollout WHERE condition_id = :condition UNION ALL "
    "SELECT (SELECT min(seed) FROM rollout WHERE condition_id = :condition AND seed > drawn.seed) "
    "FROM drawn WHERE drawn.seed IS NOT NULL) "
)
_SHOWN = (
    "SELECT {checksum}, session_id, problem_group, inputs, prompt, problem_index, seed, text, reward, correct, answer, "
    "failure, token_count, finish_reason FROM ({keys}) CROSS JOIN problem ON problem.id = problem_id "
    "CROSS JOIN completion ON completion.id = completion_id ORDER BY seed, problem_id"
)


@dataclass(frozen=True)
class Selection:
    """Which rollouts to show; None for any.

    Attributes:
        condition_ids: the conditions, in the order in which to show them.
        problem: index of the problem.
        seed: the draw.
        correct: the verdict.
    """

    condition_ids: Sequence[int]
    problem: int | None = None
    seed: int | None = None
    correct: bool | None = None


class RolloutBrowser(RolloutStore):
    """Read access to single rollouts."""

    def browse(self, selection: Selection, limit: int, offset: int = 0) -> Generator[ShownRollout]:
        """At most ``limit`` rollouts after the first ``offset``, by condition as given, then by seed and problem.

        A transaction is open until the last one; close the generator if you leave it before.

        Raises:
            StoreError: the file cannot be read, a problem is not of the form in which it was written, or a problem or
                a text is not the one that was written.
        """
        with translated(self.path), self._engine.begin() as connection:
            # All of them, and first: a problem whose index has changed would not be found under its own any more.
            sound_problems(connection, self.path)
            for condition_id in selection.condition_ids:
                keys, values = _keys(connection, selection, condition_id)
                query = _SHOWN.format(keys=f"{keys} LIMIT :limit OFFSET :offset", checksum=checksum_column(connection))
                shown = 0
                streaming = connection.execution_options(yield_per=1000)
                for checksum, *row in streaming.exec_driver_sql(query, values | {"limit": limit, "offset": offset}):
                    shown += 1
                    found = _shown(self.path, condition_id, row)
                    self.check_text(condition_id, found.rollout, checksum)
                    yield found
                limit -= shown
                if limit <= 0:
                    return
                if offset:
                    matching = _run(connection, f"SELECT count(*) FROM ({keys})", values)[0][0]
                    offset = max(offset - matching, 0)


def _keys(connection: Connection, selection: Selection, condition_id: int) -> tuple[str, dict[str, Any]]:
    """The query for the matching rows of rollout in one condition, and its values."""
    values: dict[str, Any] = {"condition": condition_id}
    where = ["rollout.condition_id = :condition"]
    source = "SELECT rollout.* FROM rollout"
    if selection.seed is not None:
        where.append("rollout.seed = :seed")
        values["seed"] = selection.seed
    if selection.problem is not None:
        ids = _run(connection, "SELECT id FROM problem WHERE problem_index = :index", {"index": selection.problem})
        where.append(f"rollout.problem_id IN ({', '.join(str(int(id_)) for (id_,) in ids)})")
        if selection.seed is None:
            source = f"{_SEEDS}SELECT rollout.* FROM drawn CROSS JOIN rollout"
            where.append("rollout.seed = drawn.seed")
    if selection.correct is not None:
        where.append("rollout.correct = :correct")
        values["correct"] = int(selection.correct)
    return f"{source} WHERE {' AND '.join(where)} ORDER BY rollout.seed, rollout.problem_id", values


def _run(connection: Connection, query: str, values: dict[str, Any]) -> Sequence[Any]:
    return connection.exec_driver_sql(query, values).all()


def _shown(path: Path, condition_id: int, row: Sequence[Any]) -> ShownRollout:
    session_id, group, inputs, prompt, index, seed, text, reward, correct, *rest = row
    try:
        asked = json.loads(prompt)
        messages = tuple((role, content) for role, content in asked["messages"])
        given, assistant_prefix = dict(json.loads(inputs).items()), asked["begun"]
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise StoreError(damaged(path, f"problem {index} cannot be read: {err}")) from err
    return ShownRollout(
        condition_id=condition_id,
        session_id=session_id,
        group=group,
        inputs=given,
        prompt=Prompt(messages, assistant_prefix),
        rollout=StoredRollout(index, seed, text, reward, bool(correct), *rest),
    )
