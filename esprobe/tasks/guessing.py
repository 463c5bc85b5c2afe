"""How often guessing without a model is right, for any task that knows it or its right answers."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from esprobe.records.guessing import Guess
from esprobe.spec import Problem
from esprobe.tasks.base import DataSet, GoldAnswered, Guessable, Task

LABEL = "other problems' answers"
"""How tables name guesses drawn from the right answers of a data set."""

_SHOWN = 40


def guess_of(task: Task, data: DataSet, problems: Sequence[Problem]) -> Guess | None:
    """The chances of guessing some problems of a data set; None for a task that says nothing of it.

    A task without chances of its own but with gold answers has its answers guessed by somebody who knows those of the
    other problems and has not read the question. The first guess is the most frequent of them; every further one is the
    gold answer of another problem, all equally likely. Answers are equal if their canonical forms are.

    Raises:
        DataError: the inputs of a problem are not of the task's form.
        TaskError: the task fails.
    """
    if isinstance(task, Guessable):
        chances = {p.index: chance for p, chance in zip(problems, task.null_probabilities(problems), strict=True)}
        return Guess(task.name, data.digest, task.null_label, task.null_description, chances)
    if isinstance(task, GoldAnswered):
        return _from_golds(task, data, problems)
    return None


def _from_golds(task: Task, data: DataSet, problems: Sequence[Problem]) -> Guess | None:
    assert isinstance(task, GoldAnswered)
    golds = {problem.index: frozenset(task.gold_answers(problem)) for problem in data.problems}
    held = Counter(gold for answers in golds.values() for gold in answers)
    # A problem with several right answers is drawn as often as one with a single answer.
    drawn: defaultdict[str, float] = defaultdict(float)
    for answers in golds.values():
        for gold in answers:
            drawn[gold] += 1 / len(answers)
    answered = sum(1 for answers in golds.values() if answers)
    if answered < 2:
        return None
    chances: dict[int, float | None] = {problem.index: None for problem in problems}
    first: dict[int, float] = {}
    frequency = _Frequency(held)
    for problem in problems:
        if answers := golds[problem.index]:
            chance = (sum(drawn[gold] for gold in answers) - 1) / (answered - 1)
            chances[problem.index] = min(max(chance, 0.0), 1.0)  # rounding
            if frequency.highest > 1:
                first[problem.index] = frequency.first_guess(answers)
    return Guess(task.name, data.digest, LABEL, _definition(frequency, answered), chances, first)


class _Frequency:
    """How many problems have each right answer.

    Attributes:
        highest: of how many problems the most frequent ones are right.
        favourite: the first of these in order of spelling.
    """

    def __init__(self, held: Mapping[str, int]) -> None:
        self._held = held
        self._with = Counter(held.values())
        self.highest = max(held.values())
        self.favourite = min(gold for gold, count in held.items() if count == self.highest)

    def first_guess(self, answers: frozenset[str]) -> float:
        """The chance that the most frequent answer of the other problems is one of ``answers``; equals share it."""
        own = [self._held[gold] for gold in answers]
        at_top = own.count(self.highest)
        if self._with[self.highest] > at_top:  # another one stays on top
            return 0.0
        below = self.highest - 1
        return at_top / (at_top + self._with[below] - own.count(below))


def _definition(frequency: _Frequency, answered: int) -> str:
    drawn = f"the right answer of another of the data's {answered:,} problems, all equally likely"
    if frequency.highest == 1:
        return f"each guess is {drawn}"
    shown = frequency.favourite if len(frequency.favourite) <= _SHOWN else f"{frequency.favourite[:_SHOWN]}..."
    share = f"{100 * frequency.highest / answered:.1f} %"
    first = f'the first guess is the most frequent right answer of the other problems ("{shown}": {share} of all)'
    return f"{first}; each further one is {drawn}"
