"""Problems that only one of two models solves, each with a completion that does."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.excerpts import clipped, shown_inputs
from esprobe.analysis.loaded import Loaded
from esprobe.results.training_gain import OnlyOne, SolvedAlone
from esprobe.store import RolloutStore

MOST_SHOWN = 10
"""Problems that are listed with a completion; the others are counted."""

LONGEST = 240
"""Characters of a completion that are shown."""


def only_one(
    store: RolloutStore, solving: Sequence[Loaded], other: Sequence[Loaded], indices: NDArray[np.int64]
) -> OnlyOne:
    """The problems that some condition of one model solves and none of the other model's.

    Args:
        store: the database they were read from.
        solving: conditions of one model; a completion is taken from the first of them that solves a problem.
        other: conditions of the other model.
        indices: (P,) problems that all conditions have.

    Raises:
        StoreError: a completion has changed since it was written.
    """
    alone = indices[_any_solved(solving, indices) & ~_any_solved(other, indices)]
    shown = [_shown(store, solving, index) for index in alone[:MOST_SHOWN].tolist()]
    return OnlyOne(problems=tuple(alone.tolist()), shown=tuple(shown))


def _any_solved(conditions: Sequence[Loaded], indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    solved: NDArray[np.bool_] = np.any([one.solved(indices) for one in conditions], axis=0)
    return solved


def _shown(store: RolloutStore, solving: Sequence[Loaded], index: int) -> SolvedAlone:
    """The first correct rollout by seed of the first condition that has one."""
    one = next(c for c in solving if c.solved(np.array([index]))[0])
    row = int(one.rows(np.array([index]))[0])
    seed = int(one.correctness.seeds[np.flatnonzero(one.correctness.correct[row])[0]])
    problem = one.problems[row]
    (rollout,) = store.excerpts(one.id, [(problem.id, seed)])
    return SolvedAlone(
        problem=index,
        group=problem.group,
        inputs=shown_inputs(problem.inputs),
        condition=one.id,
        decoding=one.condition.label,
        seed=seed,
        text=clipped(rollout.completion, LONGEST),
    )
