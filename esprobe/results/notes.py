"""What is unusual about a comparison, a table or a task, as values; report words them."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class ProblemsLeftOut:
    """Problems of one condition that the other one does not have."""

    label: str
    problems: int


@dataclass(frozen=True)
class GreedyRepeated:
    """One of the two is greedy, so its pass@k is that of k = 1 at every k."""


@dataclass(frozen=True)
class UnequalRollouts:
    """The two have different numbers of rollouts per problem."""


@dataclass(frozen=True)
class DifferentModels:
    """The two are of different models, A and B."""

    a: str
    b: str


@dataclass(frozen=True)
class MixedScorers:
    """Verdicts side by side come from different scorers.

    Attributes:
        by_label: (label, names of its scorers) of each condition that has verdicts.
    """

    by_label: tuple[tuple[str, tuple[str, ...]], ...]


PairNote: TypeAlias = ProblemsLeftOut | GreedyRepeated | UnequalRollouts | DifferentModels | MixedScorers


@dataclass(frozen=True)
class UnavailableTask:
    """A task that could not be loaded or used, so that its notion of equal answers is missing.

    Attributes:
        name: the task's name.
        reason: the error; None where no task of that name is installed.
        has_null: whether its guessing curve is known nevertheless, from when it was sampled.
    """

    name: str
    reason: str | None
    has_null: bool = False
