"""Data of which little can be said give a page that says so, with no broken figure and no NaN."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("selenium")

from tests.browser.material import Page
from tests.filled import change, fill, report, solutions

pytestmark = pytest.mark.browser
NO = {"*": ["no"]}


def some() -> dict[str, list[str]]:
    return {"*": ["no"]} | {index: [answer, "no", "no"] for index, answer in list(solutions().items())[::2]}


def no_rollout(folder: Path) -> Path:
    path = fill(folder, some(), samples=4)
    change(path, "DELETE FROM rollout")
    return path


def one_problem(folder: Path) -> Path:
    return fill(folder, some(), problems="200:201")


def one_sample(folder: Path) -> Path:
    return fill(folder, some(), samples=1)


def all_correct(folder: Path) -> Path:
    return fill(folder, {"*": ["no"]} | {index: [answer] for index, answer in solutions().items()}, samples=4)


def none_correct(folder: Path) -> Path:
    return fill(folder, NO, samples=4)


def unequal_n(folder: Path) -> Path:
    path = fill(folder, some(), samples=8)
    change(path, "DELETE FROM rollout WHERE seed > 44 AND problem_id > 10")
    return path


def no_baseline(folder: Path) -> Path:
    return fill(folder, some(), samples=4, commands="p")


def one_arm(folder: Path) -> Path:
    return fill(folder, some(), samples=4, commands="t")


def one_condition_empty(folder: Path) -> Path:
    path = fill(folder, some(), samples=4)
    change(path, "DELETE FROM rollout WHERE condition_id = 2")
    return path


def a_failure_called_proto(folder: Path) -> Path:
    """The one name that a plain JavaScript object cannot keep anything under."""
    path = fill(folder, some(), samples=4)
    change(path, "UPDATE rollout SET failure = '__proto__' WHERE failure IS NOT NULL")
    return path


CASES = (
    no_rollout, one_problem, one_sample, all_correct, none_correct, unequal_n, no_baseline, one_arm,
    one_condition_empty, a_failure_called_proto,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_little_is_said_in_words(page: Page, tmp_path: Path, case: Callable[[Path], Path]) -> None:
    page.open(report(case(tmp_path)))
    for name in page.figures():
        words = page.words(name)
        assert words.endswith(".") or page.marks(name), f"{name} is neither drawn nor explained: {words!r}"
        assert not (words and page.marks(name)), name
    shown = page.run("return document.querySelector('main').innerText")
    assert not re.findall(r"\b(NaN|nan|undefined|null|None|Infinity|inf)\b", shown)
    assert shown.count("\n") > 20
