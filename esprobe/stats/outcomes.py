"""The verdicts on one condition as arrays. Does not know which problems or seeds they belong to."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Which rollouts exist and which of them are correct: problems down, seeds across.

    Attributes:
        correct: (P, S) bool; False where nothing is stored.
        stored: (P, S) bool; at least one rollout in every row.

    Raises:
        ValueError: the arrays are not two boolean matrices of one shape; a problem has no rollout; or a rollout
            that is not stored is correct.
    """

    correct: NDArray[np.bool_]
    stored: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name, array in (("correct", self.correct), ("stored", self.stored)):
            if array.ndim != 2 or array.dtype != np.bool_:
                raise ValueError(f"{name} must be a boolean matrix, got {array.dtype} of shape {array.shape}")
        if self.correct.shape != self.stored.shape:
            raise ValueError(f"correct is {self.correct.shape} but stored is {self.stored.shape}")
        if not self.stored.any(axis=1).all():
            raise ValueError("every problem must have at least one stored rollout; leave out those without")
        if (self.correct & ~self.stored).any():
            raise ValueError("a rollout that is not stored cannot be correct")

    @property
    def problems(self) -> int:
        """P, the number of problems."""
        return int(self.correct.shape[0])

    @cached_property
    def n(self) -> NDArray[np.int64]:
        """(P,) stored rollouts of each problem."""
        counts: NDArray[np.int64] = np.count_nonzero(self.stored, axis=1).astype(np.int64)
        return counts

    @cached_property
    def c(self) -> NDArray[np.int64]:
        """(P,) correct rollouts of each problem."""
        counts: NDArray[np.int64] = np.count_nonzero(self.correct, axis=1).astype(np.int64)
        return counts

    @cached_property
    def complete(self) -> bool:
        """Whether every problem has every seed."""
        return bool(self.stored.all())

    def rows(self, chosen: NDArray[np.int64]) -> "Outcomes":
        """The same seeds for some of the problems, by their rows."""
        return Outcomes(self.correct[chosen], self.stored[chosen])

    @property
    def n_min(self) -> int:
        """The fewest rollouts of any problem, and so the largest k; 0 without problems."""
        return int(self.n.min()) if self.problems else 0
