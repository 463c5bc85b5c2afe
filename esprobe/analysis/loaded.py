"""One condition as read from a database: its verdicts, and its side of every comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from esprobe.records import Correctness, StoredCondition, StoredProblem
from esprobe.spec import Condition, Kind
from esprobe.stats.curve import default_ks
from esprobe.stats.outcomes import Outcomes
from esprobe.stats.side import Side, sampled_side


@dataclass(eq=False)
class Loaded:
    """A condition with its verdicts.

    Attributes:
        stored: the condition and its id.
        correctness: its verdicts as the store returns them.
        problems: its problems, in the order of the rows.
        label: how tables name it.
        scorers: names of the scorers of its verdicts, sorted; several if they are mixed.
    """

    stored: StoredCondition
    correctness: Correctness
    problems: Sequence[StoredProblem]
    label: str
    scorers: tuple[str, ...]
    _sides: dict[tuple[bytes, tuple[int, ...]], Side] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outcomes = Outcomes(self.correctness.correct, self.correctness.stored)

    @property
    def id(self) -> int:
        """Its id in the database."""
        return self.stored.id

    @property
    def condition(self) -> Condition:
        """What decides the distribution its rollouts are drawn from."""
        return self.stored.condition

    @property
    def kind(self) -> Kind:
        """How its rollouts were sampled."""
        return self.condition.kind

    @property
    def ks(self) -> tuple[int, ...]:
        """Powers of two up to its smallest n; for a greedy baseline the caller ignores them."""
        return default_ks(self.outcomes.n_min)

    @property
    def samples(self) -> tuple[int, int]:
        """Fewest and most rollouts of a problem."""
        return (self.outcomes.n_min, int(self.outcomes.n.max())) if self.outcomes.problems else (0, 0)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of problems, all of which it must have."""
        return np.searchsorted(self.correctness.problems, indices)

    def solved(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of some problems is solved at least once."""
        return self.outcomes.c[self.rows(indices)] > 0

    def side(self, indices: NDArray[np.int64], ks: Sequence[int]) -> Side:
        """Its side of a comparison over some of its problems, cached."""
        key = (indices.tobytes(), tuple(ks))
        if key not in self._sides:
            whole = len(indices) == self.outcomes.problems
            outcomes = self.outcomes if whole else self.outcomes.rows(self.rows(indices))
            self._sides[key] = sampled_side(outcomes, self.correctness.seeds, self.kind, ks)
        return self._sides[key]
