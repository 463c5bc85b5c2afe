"""Number of distinct correct answers."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Diversity:
    """Distinct correct answers, by the task's own notion of when two are the same.

    More rollouts find more of them, so at most a number of correct rollouts per problem is counted that is equal for
    all conditions of a report.

    Attributes:
        most_looked_at: correct rollouts of one problem that are looked at, those of the lowest seeds.
        solved: problems with a correct rollout.
        correct: correct rollouts looked at.
        mean_distinct: distinct correct answers per solved problem; None if none is solved.
        most_distinct: of the problem that has the most; 0 if none is solved.
        duplicate_share: share of correct rollouts that repeat another correct answer of their problem; None
            without any.
    """

    most_looked_at: int
    solved: int
    correct: int
    mean_distinct: float | None
    most_distinct: int
    duplicate_share: float | None


def diversity(answers: Iterable[tuple[int, Hashable]], most_looked_at: int) -> Diversity:
    """Distinct answers among correct rollouts.

    Args:
        answers: (problem, canonical answer) of each correct rollout that is looked at.
        most_looked_at: how many of one problem there can be.
    """
    by_problem: defaultdict[int, list[Hashable]] = defaultdict(list)
    for problem, answer in answers:
        by_problem[problem].append(answer)
    distinct = [len(set(of_problem)) for of_problem in by_problem.values()]
    correct = sum(map(len, by_problem.values()))
    return Diversity(
        most_looked_at=most_looked_at,
        solved=len(by_problem),
        correct=correct,
        mean_distinct=sum(distinct) / len(by_problem) if by_problem else None,
        most_distinct=max(distinct, default=0),
        duplicate_share=1 - sum(distinct) / correct if correct else None,
    )
