"""What a report counts beyond verdicts: fates, answers, and what was spent. Part of reading a database."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import text

from esprobe.errors import StoreError
from esprobe.records import Answers, Correctness, Spending, StoredProblem, Tally
from esprobe.store.database import damaged
from esprobe.store.reader import RolloutStore

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tallies(store: RolloutStore, condition_id: int) -> list[Tally]:
    """A condition's rollouts by problem class, failure, finish reason and format bonus."""
    # Seed by seed: groups of two thousand rows are sorted in memory three times as fast as two million at once.
    query = text(
        "SELECT problem_group, failure, finish_reason, round(reward - correct, 9), count(*) "
        "FROM rollout JOIN problem ON problem.id = problem_id WHERE condition_id = :condition AND seed = :seed "
        "GROUP BY 1, 2, 3, 4"
    )
    seeds = text("SELECT DISTINCT seed FROM rollout WHERE condition_id = :condition")
    counted: Counter[tuple[str, str | None, str, float]] = Counter()
    with store.reading() as connection:
        for seed in connection.execute(seeds, {"condition": condition_id}).scalars().all():
            for *key, rollouts in connection.execute(query, {"condition": condition_id, "seed": seed}):
                group, failure, finish_reason, bonus = key
                counted[group, failure, finish_reason, bonus] += rollouts
    return [Tally(*key, rollouts) for key, rollouts in counted.items()]


def answers(store: RolloutStore, condition_id: int, verdicts: Correctness) -> Answers:
    """The canonical answers of the rollouts that ``verdicts`` holds."""
    import numpy as np

    query = (
        "SELECT seed, json_group_array(answer), json_group_array(problem_index) FROM "
        "(SELECT seed, problem_id, answer FROM rollout WHERE condition_id = :condition ORDER BY seed, problem_id) "
        "JOIN problem ON problem.id = problem_id GROUP BY seed"
    )
    found: dict[str | None, int] = {None: -1}
    codes = np.full(verdicts.correct.shape, -1, np.int32)
    row_of = {int(index): row for row, index in enumerate(verdicts.problems)}
    column_of = {int(seed): column for column, seed in enumerate(verdicts.seeds)}
    rows_of: dict[str, NDArray[np.int64]] = {}  # complete seeds all name the same problems
    with store.reading() as connection:
        for seed, given, indices in connection.execute(text(query), {"condition": condition_id}):
            if seed not in column_of:
                continue
            if indices not in rows_of:
                rows_of[indices] = np.array([row_of.get(i, -1) for i in json.loads(indices)], np.int64)
            rows = rows_of[indices]
            column = np.array([found.setdefault(a, len(found) - 1) for a in json.loads(given)], np.int32)
            codes[rows[rows >= 0], column_of[seed]] = column[rows >= 0]
    return Answers(codes, tuple(answer for answer in found if answer is not None))


def texts(
    store: RolloutStore, condition_id: int, problems: Sequence[StoredProblem], keys: Sequence[tuple[int, int]]
) -> list[tuple[int, str]]:
    """(problem index, completion) of some rollouts, named by (problem index, seed); in no order.

    ``problems`` are the condition's, as ``RolloutStore.problems`` gives them.

    Raises:
        StoreError: a text is not the one that was written, or is not there: the file is damaged.
    """
    ids = {problem.index: problem.id for problem in problems}
    found = list(store.excerpts(condition_id, [(ids[index], seed) for index, seed in keys]))
    if len(found) != len(keys):
        reason = f"{len(keys) - len(found):,} rollouts of condition {condition_id} have lost their text"
        raise StoreError(damaged(store.path, reason))
    return [(rollout.problem, rollout.completion) for rollout in found]


def spending(store: RolloutStore, condition_id: int) -> Spending:
    """What sessions spent on a condition, those left out that recorded no time."""
    query = (
        "SELECT coalesce(sum(rollouts), 0), coalesce(sum(generate_s), 0), coalesce(sum(switch_s), 0) "
        "FROM work WHERE condition_id = :condition AND generate_s > 0"
    )
    with store.reading() as connection:
        return Spending(*connection.execute(text(query), {"condition": condition_id}).one())
