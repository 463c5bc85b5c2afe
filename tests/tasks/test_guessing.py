"""Guessing drawn from the right answers of a data set: exact chances, and the same curve by simulation."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from esprobe.errors import TaskError
from esprobe.spec import Problem, Prompt, Score
from esprobe.stats.curve import known_passk
from esprobe.tasks import DataSet
from esprobe.tasks.guarded import guarded
from esprobe.tasks.guessing import LABEL, guess_of
from tests.tasks.task_files import file_task


class Named:
    """A task of a user's own that knows its right answers and nothing of guessing."""

    name, prompts, scorers = "named", ("chat",), ("mine/1",)

    def __init__(self, golds: Sequence[Sequence[str]]) -> None:
        self.golds = golds

    def data_set(self, data: str | None) -> DataSet:
        return DataSet("here", "d" * 64, [Problem(index, {}, "all") for index in range(len(self.golds))])

    def prompt(self, problem: Problem, style: str) -> Prompt:
        return Prompt((("user", "?"),), "")

    def score(self, problem: Problem, completion: str, scorer: str) -> Score:
        return Score(0.0, False, None, "wrong")

    def gold_answers(self, problem: Problem) -> Sequence[str]:
        return self.golds[problem.index]


def named(*golds: Sequence[str]) -> tuple[dict[int, float | None], dict[int, float], str]:
    task = guarded(Named(golds), "named")
    data = task.data_set(None)
    guess = guess_of(task, data, data.problems)
    assert guess is not None and guess.label == LABEL
    return dict(guess.chances), dict(guess.first), guess.definition


def test_the_chance_is_the_share_of_other_problems_with_the_same_answer() -> None:
    chances, first, definition = named(["7"], ["7"], ["7"], ["no"], ["yes"])
    assert chances == {0: 0.5, 1: 0.5, 2: 0.5, 3: 0.0, 4: 0.0}
    assert first == {0: 1.0, 1: 1.0, 2: 1.0, 3: 0.0, 4: 0.0}
    assert definition == (
        'the first guess is the most frequent right answer of the other problems ("7": 60.0 % of all); each further '
        "one is the right answer of another of the data's 5 problems, all equally likely"
    )


def test_a_problem_with_several_answers_is_drawn_as_often_as_any_other() -> None:
    chances, first, _ = named(["a", "b"], ["a"], ["b"], ["c"])
    assert chances == pytest.approx({0: (0.5 + 0.5 + 2 - 1) / 3, 1: 0.5 / 3, 2: 0.5 / 3, 3: 0.0})
    # Among the others of problem 0 are "a", "b" and "c", once each; among those of problem 1, "b" is there twice.
    assert first == pytest.approx({0: 2 / 3, 1: 0.0, 2: 0.0, 3: 0.0})


def test_the_most_frequent_answer_is_sought_among_the_other_problems() -> None:
    """Of two problems that share an answer, neither tells the other's to be frequent."""
    _, first, _ = named(["15"], ["15"], ["3"], ["8"])
    assert first == pytest.approx({0: 1 / 3, 1: 1 / 3, 2: 0.0, 3: 0.0})


def test_where_every_answer_is_another_one_no_guess_is_right() -> None:
    chances, first, definition = named(["a"], ["b"], ["c"])
    assert (set(chances.values()), first) == ({0.0}, {})
    assert definition.startswith("each guess is the right answer of another")


def test_problems_without_an_answer_have_no_chance_and_are_not_guessed() -> None:
    chances, _, definition = named(["a"], [], ["a"])
    assert chances == {0: 1.0, 1: None, 2: 1.0}
    assert "another of the data's 2 problems" in definition


def test_one_problem_can_be_guessed_from_no_other() -> None:
    task = guarded(Named([["a"]]), "named")
    data = task.data_set(None)
    assert guess_of(task, data, data.problems) is None


def test_the_curve_is_that_of_guesses_really_drawn() -> None:
    golds = [["yes"]] * 6 + [["no"]] * 3 + [["perhaps"]]
    chances, first, _ = named(*golds)
    order = sorted(chances)
    values = known_passk(np.array([chances[i] for i in order], float), [1, 2, 5], np.array([first[i] for i in order]))
    rng, trials = random.Random(3), 20_000
    for k, exact in zip([1, 2, 5], values.mean(axis=0), strict=True):
        solved = 0
        for _ in range(trials):
            problem = rng.randrange(len(golds))
            others = [gold for index, (gold,) in enumerate(golds) if index != problem]
            favourite = max(sorted(set(others)), key=others.count)
            solved += golds[problem][0] in [favourite, *rng.choices(others, k=k - 1)]
        assert abs(solved / trials - exact) < 4 * (0.25 / trials) ** 0.5


def test_a_task_file_compares_canonical_answers(tmp_path: Path) -> None:
    task = file_task(tmp_path, [{"q": "a", "a": "1,000"}, {"q": "b", "a": "1000.0"}, {"q": "c", "a": "3"}])
    data = task.data_set(None)
    guess = guess_of(task, data, data.problems[:2])
    assert guess is not None
    assert (dict(guess.chances), dict(guess.first)) == ({0: 0.5, 1: 0.5}, {0: 0.5, 1: 0.5})
    assert '("1000": 66.7 % of all)' in guess.definition


def test_answers_that_are_no_texts_are_the_tasks_fault() -> None:
    task = guarded(Named([[3], ["a"]]), "named")  # type: ignore[list-item]
    data = task.data_set(None)
    with pytest.raises(TaskError, match=r"its gold_answers failed on problem 0 .*not all texts"):
        guess_of(task, data, data.problems)
