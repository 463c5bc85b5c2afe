"""``data check`` on the published file, on generated problems, and on files with one fault each."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run


def checked(esprobe: Run, *arguments: object) -> dict:
    done = esprobe("data", "check", "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def found(document: dict) -> dict[str, list[int]]:
    return {finding["name"]: finding["problems"] for finding in document["findings"]}


def write(path: Path, *rows: tuple[list[int], str]) -> Path:
    path.write_text(json.dumps([{"numbers": numbers, "target": target} for numbers, target in rows]))
    return path


def test_the_published_test_problems(esprobe: Run, published: Path) -> None:
    document = checked(esprobe, "--data", published)
    counts = {name: len(problems) for name, problems in found(document).items()}
    assert counts == {
        "no solution": 14,
        "no exact solution": 0,
        "not searched": 0,
        "fractional target": 43,
        "negative whole target": 15,
        "fractional or negative target": 58,
        "duplicate": 0,
        "in training problems": 0,
        "repeated numbers": 82,
    }
    assert (document["count"], document["groups"]) == (2000, {"3 numbers": 975, "4 numbers": 1025})
    for finding in document["findings"]:
        assert sum(finding["groups"].values()) == finding["count"] == len(finding["problems"])
    table = esprobe("data", "check", "--data", published).stdout
    assert "| no solution                   |         6 |         8 |    14 | 263, 281, 566," in table


def test_generated_problems_are_sound(esprobe: Run) -> None:
    document = checked(esprobe, "--problems", "0:2200", "--training", "0:0")
    wrong = {name: problems for name, problems in found(document).items() if name != "repeated numbers"}
    assert document["count"] == 2200
    assert not any(wrong.values())


def test_every_fault_is_found_where_it_is(esprobe: Run, tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.json",
        ([1, 2, 3], "6"),  # 0: training
        ([44, 19, 35], "98"),  # 1: sound
        ([35, 44, 19], "98.0"),  # 2: the same again, in other words
        ([3, 2, 1], "6"),  # 3: in training
        ([1, 1, 1], "50"),  # 4: cannot be reached
        ([1, 2], "0.5"),  # 5: fractional
        ([1, 2], "-1"),  # 6: negative
        ([1, 2], "-0.5"),  # 7: fractional, out of reach
        ([100003, 100000, 1], "1.000025"),  # 8: between 1.00002 and 1.00003
        (list(range(1, 8)), "28"),  # 9: seven numbers
    )
    document = checked(esprobe, "--data", path, "--problems", "1:10", "--training", "0:1")
    assert found(document) == {
        "no solution": [4, 7],
        "no exact solution": [8],
        "not searched": [9],
        "fractional target": [5, 7, 8],
        "negative whole target": [6],
        "fractional or negative target": [5, 6, 7, 8],
        "duplicate": [2],
        "in training problems": [3],
        "repeated numbers": [4],
    }
    assert document["groups"] == {"2 numbers": 3, "3 numbers": 5, "7 numbers": 1}


def test_a_slice_past_the_end_is_said_with_both_numbers(esprobe: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.json", ([1, 2], "3"), ([1, 3], "4"), ([1, 4], "5"))
    done = esprobe("data", "check", "--data", path, "--problems", "1:9")
    assert done.returncode == 0
    assert "has 3 problems: 2 are used, not 8" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "1:3" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--problems", "3000:4000"], "--problems 3000:4000"),
        (["--problems", "5:5"], "--problems"),
        (["--problems", "nine"], "--problems must be FIRST:STOP, such as 200:2200, got 'nine'"),
        (["--training", "1:x"], "--training must be FIRST:STOP, such as 200:2200, got '1:x'"),
        (["--task", "chess"], "no task is called 'chess'"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_a_line(esprobe: Run, arguments: list[str], said: str) -> None:
    done = esprobe("data", "check", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
