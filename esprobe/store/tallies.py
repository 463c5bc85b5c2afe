"""Statistics for reports beyond verdicts: outcomes, answers, sampled texts, and the time spent."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from esprobe.errors import StoreError
from esprobe.records import Answers, Correctness, OutcomeCount, Spending, StoredProblem
from esprobe.store.database import damaged, scalars
from esprobe.store.reader import RolloutStore

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tallies(store: RolloutStore, condition_id: int, problems: Sequence[StoredProblem]) -> list[OutcomeCount]:
    """A condition's rollouts by problem class, failure, finish reason and format bonus.

    ``problems`` are the condition's, as ``RolloutStore.verdicts`` returns them: looking up each in SQL would take
    longer.
    """
    # One query per seed: sorting two thousand rows at a time is three times as fast as two million at once.
    query = (
        "SELECT failure, finish_reason, reward - correct, json_group_array(problem_id) FROM rollout "
        "WHERE condition_id = :condition AND seed = :seed GROUP BY 1, 2, 3"
    )
    seeds = "SELECT DISTINCT seed FROM rollout WHERE condition_id = ?"
    group_of = {problem.id: problem.group for problem in problems}
    counted: Counter[tuple[str, str | None, str, float]] = Counter()
    with store.reading() as connection:
        for seed in scalars(connection, seeds, (condition_id,)):
            rows = connection.execute(query, {"condition": condition_id, "seed": seed})
            for failure, finish_reason, bonus, ids in rows:
                for group, rollouts in Counter(map(group_of.get, json.loads(ids))).items():
                    if group is not None:  # a sampler may have added problems since these were read
                        counted[group, failure, finish_reason, round(bonus, 9)] += rollouts
    return [OutcomeCount(*key, rollouts) for key, rollouts in counted.items()]


def answers(
    store: RolloutStore, condition_id: int, verdicts: Correctness, problems: Sequence[StoredProblem]
) -> Answers:
    """The canonical answers of the rollouts in ``verdicts``; ``problems`` are the problems of its rows."""
    import numpy as np

    query = (
        "SELECT seed, json_group_array(answer), json_group_array(problem_id) FROM "
        "(SELECT seed, problem_id, answer FROM rollout WHERE condition_id = :condition ORDER BY seed, problem_id) "
        "GROUP BY seed"
    )
    code_of: dict[str | None, int] = {None: -1}
    codes = np.full(verdicts.correct.shape, -1, np.int32)
    row_of = {problem.id: row for row, problem in enumerate(problems)}
    column_of = {int(seed): column for column, seed in enumerate(verdicts.seeds)}
    rows_of: dict[str, NDArray[np.int64]] = {}  # complete seeds all have the same problems
    with store.reading() as connection:
        for seed, seed_answers, ids in connection.execute(query, {"condition": condition_id}):
            if seed not in column_of:
                continue  # a sampler may have added it since the verdicts were read, as it may a problem
            if ids not in rows_of:
                rows_of[ids] = np.array([row_of.get(id_, -1) for id_ in json.loads(ids)], np.int64)
            rows = rows_of[ids]
            column = np.array([code_of.setdefault(a, len(code_of) - 1) for a in json.loads(seed_answers)], np.int32)
            codes[rows[rows >= 0], column_of[seed]] = column[rows >= 0]
    return Answers(codes, tuple(answer for answer in code_of if answer is not None))


def texts(
    store: RolloutStore, condition_id: int, problems: Sequence[StoredProblem], keys: Sequence[tuple[int, int]]
) -> list[tuple[int, str]]:
    """(problem index, completion) of the rollouts with these (problem index, seed) keys; in no particular order.

    ``problems`` are the condition's, as ``RolloutStore.verdicts`` returns them.

    Raises:
        StoreError: a text has changed since it was written, or is missing: the file is damaged.
    """
    ids = {problem.index: problem.id for problem in problems}
    rollouts = list(store.excerpts(condition_id, [(ids[index], seed) for index, seed in keys]))
    if len(rollouts) != len(keys):
        reason = f"{len(keys) - len(rollouts):,} rollouts of condition {condition_id} have no completion text"
        raise StoreError(damaged(store.path, reason))
    return [(rollout.problem, rollout.completion) for rollout in rollouts]


def spending(store: RolloutStore, condition_id: int) -> Spending:
    """The time that sessions spent on a condition; sessions that recorded no time are left out."""
    query = (
        "SELECT coalesce(sum(rollouts), 0), coalesce(sum(generate_s), 0), coalesce(sum(switch_s), 0) "
        "FROM work WHERE condition_id = :condition AND generate_s > 0"
    )
    with store.reading() as connection:
        return Spending(*connection.execute(query, {"condition": condition_id}).fetchone())
