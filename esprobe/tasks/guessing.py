"""How often guessing without a model is right, for any task that knows it or its right answers."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from esprobe.records.guessing import Guess
from esprobe.spec import Problem
from esprobe.tasks.base import DataSet, GoldAnswered, Guessable, Task

LABEL = "other problems' answers"
"""How tables name guesses drawn from the right answers of a data set."""

_SHOWN = 40


def guess_of(task: Task, data: DataSet, problems: Sequence[Problem]) -> Guess | None:
    """The chances of guessing some problems of a data set; None for a task that says nothing of it.

    A task without chances of its own but with gold answers has its answers guessed by somebody who knows those of the
    data set and has not read the question. The first guess is the gold answer that most problems have; every further
    one is that of another problem, all equally likely. Answers are equal if their canonical forms are.

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
    favourite, problems_with_it = min(held.items(), key=lambda item: (-item[1], item[0]))
    if problems_with_it == 1:
        favourite = ""  # no answer is more frequent than another, and each is known of one problem only
    chances: dict[int, float | None] = {}
    first: dict[int, float] = {}
    for problem in problems:
        answers = golds[problem.index]
        chances[problem.index] = None
        if answers:
            chance = (sum(drawn[gold] for gold in answers) - 1) / (answered - 1)
            chances[problem.index] = min(max(chance, 0.0), 1.0)  # rounding
            if favourite:
                first[problem.index] = float(favourite in answers)
    return Guess(task.name, data.digest, LABEL, _definition(favourite, problems_with_it, answered), chances, first)


def _definition(favourite: str, problems_with_it: int, answered: int) -> str:
    drawn = f"the right answer of another of the data's {answered:,} problems, all equally likely"
    if not favourite:
        return f"each guess is {drawn}"
    shown = favourite if len(favourite) <= _SHOWN else f"{favourite[:_SHOWN]}..."
    share = f"{100 * problems_with_it / answered:.1f} %"
    first = f'the first guess is the most frequent right answer, "{shown}" ({share} of the problems)'
    return f"{first}; each further one is {drawn}"
