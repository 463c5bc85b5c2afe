"""How many different correct answers rollouts find."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Diversity:
    """Distinct correct answers, two being the same if the task's canonical answers are.

    Attributes:
        solved: problems with a correct rollout whose answer is recorded.
        correct: correct rollouts of those.
        mean_distinct: distinct correct answers per solved problem; None if none is solved.
        most_distinct: of the problem that has the most; 0 if none is solved.
        duplicate_share: share of correct rollouts that repeat another correct answer of their problem; None
            without any.
    """

    solved: int
    correct: int
    mean_distinct: float | None
    most_distinct: int
    duplicate_share: float | None
