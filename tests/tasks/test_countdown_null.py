"""The null of random expressions: against every merge one by one, Monte Carlo through the scorer, and known figures."""

import json
import random

import numpy as np
import pytest

from esprobe.errors import DataError
from esprobe.spec import Problem
from esprobe.stats.curve import expected_curve
from esprobe.tasks import Guessable, load_task
from esprobe.tasks.countdown.null import MOST_NUMBERS, null_chances
from esprobe.tasks.countdown.scoring import score


def every_merge(texts):
    """Every way of the definition, one text for each ordered pair and operation, all equally likely."""
    if len(texts) == 1:
        yield texts[0]
        return
    for i in range(len(texts)):
        for j in range(len(texts)):
            if i != j:
                rest = [text for at, text in enumerate(texts) if at not in (i, j)]
                for sign in "+-*/":
                    yield from every_merge([*rest, f"({texts[i]}{sign}{texts[j]})"])


def random_merge(numbers, rng):
    texts = [str(number) for number in numbers]
    while len(texts) > 1:
        i, j = rng.sample(range(len(texts)), 2)
        made = f"({texts[i]}{rng.choice('+-*/')}{texts[j]})"
        texts = [*(text for at, text in enumerate(texts) if at not in (i, j)), made]
    return texts[0]


def is_right(expression, numbers, target):
    return score(f"</think>\n<answer>{expression}</answer>", list(numbers), target).correct


@pytest.mark.parametrize(
    ("numbers", "target"),
    [((7,), "7"), ((7,), "8"), ((6, 3), "2"), ((2, 2), "4"), ((0, 5), "0"), ((3, 1, 3), "1"), ((0, 0, 7), "7"),
     ((44, 19, 35), "98"), ((5, 5, 5), "0.2"), ((1, 2, 3), "-4"), ((6, 4, 2), "27.4")],
)  # fmt: skip
def test_equals_enumeration_through_the_scorer(numbers, target):
    ways = list(every_merge([str(number) for number in numbers]))
    expected = sum(is_right(way, numbers, target) for way in ways) / len(ways)
    assert null_chances([numbers], [target])[0] == pytest.approx(expected, abs=1e-12)


def test_four_numbers_with_divisions_by_zero():
    numbers, target = (3, 3, 0, 6), "6"
    ways = list(every_merge([str(number) for number in numbers]))
    assert len(ways) == 12 * 4 * 6 * 4 * 2 * 4
    expected = sum(is_right(way, numbers, target) for way in ways) / len(ways)
    assert 0 < expected < 1
    assert null_chances([numbers], [target])[0] == pytest.approx(expected, abs=1e-12)


def test_many_problems_at_once_are_those_one_by_one():
    numbers = [(1, 2, 3), (4, 5), (9, 8, 7, 6), (4, 5, 6), (1, 2, 3)]
    targets = ["6", "20", "24", "2", "7"]
    one_by_one = [null_chances([n], [t])[0] for n, t in zip(numbers, targets, strict=True)]
    assert null_chances(numbers, targets) == one_by_one


def test_what_cannot_be_enumerated_is_left_out():
    assert null_chances([(1,) * (MOST_NUMBERS + 1), ()], ["1", "1"]) == [None, None]


def test_the_task_brings_its_null_for_problems_from_elsewhere():
    task = load_task("countdown")
    assert isinstance(task, Guessable)
    (chance,) = task.null_probabilities([Problem(99_999, {"numbers": [6, 3], "target": "2"}, "2 numbers")])
    assert chance == 1 / 8
    assert "ordered pair" in task.null_description


@pytest.mark.parametrize(
    "inputs", [{"oumbers": [6, 3], "target": "2"}, {"numbers": [6, 3]}, {"numbers": [6, 3], "target": "r"}, ["numbers"]]
)
def test_a_problem_of_another_form_is_named(inputs):
    task, odd = load_task("countdown"), Problem(7, inputs, "2 numbers")
    sound = Problem(6, {"numbers": [6, 3], "target": "2"}, "2 numbers")
    with pytest.raises(DataError, match=r"^problem 7 cannot be asked; Countdown's rows look like"):
        task.null_probabilities([sound, odd])
    with pytest.raises(DataError, match="problem 7"):
        task.score(odd, "</think>\n<answer>6 / 3</answer>", "es-paper/1")


def test_reproduces_the_known_figures_on_the_published_problems(published):
    """Worked out by another program: 85 % at k = 1024, and on the first 128 problems 46.7 % at 64, 75.3 % at 512."""
    rows = json.loads(published.read_text())[200:2200]
    chances = np.array(null_chances([row["numbers"] for row in rows], [row["target"] for row in rows]), float)
    whole = {p.k: p.estimate for p in expected_curve(chances, [1, 16, 64, 256, 1024, 4096]).points}
    assert whole == pytest.approx({1: 0.019, 16: 0.225, 64: 0.493, 256: 0.709, 1024: 0.850, 4096: 0.953}, abs=0.0006)
    first = {p.k: p.estimate for p in expected_curve(chances[:128], [64, 512]).points}
    assert first == pytest.approx({64: 0.467, 512: 0.753}, abs=0.0006)
    assert (chances == 0).sum() == 14  # the problems that no expression solves


def test_monte_carlo_on_the_published_problems_agrees(published):
    """20,000 random expressions through the scorer: the standard error is 0.001, a false alarm 1 in 16,000 seeds."""
    rows = json.loads(published.read_text())[200:2200]
    rng = random.Random(3)
    drawn = [rows[i % len(rows)] for i in range(20_000)]
    hits = sum(is_right(random_merge(row["numbers"], rng), row["numbers"], row["target"]) for row in drawn)
    chances = null_chances([row["numbers"] for row in rows], [row["target"] for row in rows])
    assert hits / len(drawn) == pytest.approx(sum(chances) / len(chances), abs=0.004)
