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


QUESTIONS = [
    {"q": "1 + 1", "a": "2"},
    {"q": "2 + 2", "a": "4"},
    {"q": "1 + 1", "a": "2"},
    {"q": "2 + 2", "a": "5"},
    {"q": " ", "a": "six"},
    {"q": "3 + 4", "a": "7 = x"},
]


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    pytest.importorskip("yaml")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)))
    task = {
        "name": "sums",
        "data": "rows.jsonl",
        "prompt": {"user": "{q}"},
        "answer": "{a}",
        "extract": "whole",
        "compare": "number",
        "train": "0:1",
    }
    path = tmp_path / "sums.yaml"
    path.write_text(json.dumps(task))
    return path


def test_a_task_file_is_audited_on_its_own_slices(esprobe: Run, sums: Path) -> None:
    done = esprobe("data", "check", "--task", sums, "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["task"], document["problems"], document["training"]) == ("sums", [1, 6], [0, 1])
    assert {one["name"]: one["problems"] for one in document["findings"]} == {
        "duplicate": [3],
        "in training problems": [2],
        "duplicate, another answer": [3],
        "shown as an example": [],
        "empty field": [4],
        "answer taken whole": [],
        "gold not of the form": [4, 5],
        "number is part of the gold answer": [],
        "gold not found": [],
        "gold not accepted": [],
    }
    assert "gold not of the form" in esprobe("data", "check", "--task", sums).stdout


def test_gold_answers_that_cannot_be_written_or_recognised(esprobe: Run, sums: Path) -> None:
    rows = [{"q": "1", "a": "2\n3"}, {"q": "2", "a": "x}"}, {"q": "3", "a": "fine"}, {"q": "4", "a": "#### 4"}]
    (sums.parent / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (sums.parent / "judge.py").write_text("def right(answer, gold, row):\n    return answer == gold == 'fine'\n")
    task = json.loads(sums.read_text()) | {
        "answer": {"text": "{a}", "extract": {"after": "####"}},
        "extract": "boxed",
        "compare": {"python": "judge.py:right"},
    }
    sums.write_text(json.dumps(task))
    findings = json.loads(esprobe("data", "check", "--task", sums, "--problems", "0:4", "--format", "json").stdout)
    found = {one["name"]: one["problems"] for one in findings["findings"]}
    assert found["answer taken whole"] == [0, 1, 2]
    assert found["gold not found"] == [0, 1, 3]
    assert found["gold not accepted"] == [0, 1, 3]


def edit(sums: Path, rows: list[dict[str, str]], **changes: object) -> None:
    (sums.parent / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sums.write_text(json.dumps(json.loads(sums.read_text()) | changes))


def test_gold_answers_of_which_a_number_is_read_in_part(esprobe: Run, sums: Path) -> None:
    parts = ["3 1/2", r"3\frac{1}{2}", "10^3", "1 000 000", "2:30", "1.234,5"]
    whole = ["$1,450,000.00", "50%", r"\frac{3}{4}", "2 + 3 = 5", "5 m^2", "7 km/h", "1e3"]
    edit(sums, [{"q": f"{n}", "a": a} for n, a in enumerate(["0", *parts, *whole])])
    assert found(checked(esprobe, "--task", sums))["number is part of the gold answer"] == [1, 2, 3, 4, 5, 6]


def test_problems_of_the_training_slice_and_of_the_examples_are_told(esprobe: Run, sums: Path) -> None:
    rows = [{"q": f"{n} + 1", "a": f"{n + 1}"} for n in range(6)]
    prompt = {"user": "{q}", "examples": "first 3 of train", "reply": "{a}"}
    edit(sums, rows, train="0:4", problems="2:6", prompt=prompt)
    told = found(checked(esprobe, "--task", sums))
    assert (told["in training problems"], told["shown as an example"]) == ([2, 3], [2])
    (sums.parent / "texts.json").write_text(json.dumps({"*": ["2"]}))
    engine = ["--engine", "scripted", "--model", "texts.json", "--samples", "1", "-t", "1"]
    warnings = esprobe("sample-temp", "--task", sums, *engine).stderr.splitlines()
    assert [line for line in warnings if "solved examples" in line and "(2)" in line and "--problems" in line]


def test_a_training_slice_that_leaves_nothing_or_passes_the_end_is_told(esprobe: Run, sums: Path) -> None:
    edit(sums, QUESTIONS, train="0:6")
    engine = ["--engine", "scripted", "--model", "texts.json", "--samples", "1", "-t", "1"]
    for command in (["data", "check"], ["sample-temp", *engine]):
        done = esprobe(*command, "--task", sums)
        assert (
            done.returncode == 2 and "train 0:6 covers all 6 problems" in done.stderr and done.stderr.count("\n") == 1
        )
    assert esprobe("data", "check", "--task", sums, "--problems", "0:2").returncode == 0
    edit(sums, QUESTIONS, train="3:9")
    assert "train 3:9 goes past the end" in esprobe("data", "check", "--task", sums).stderr


def test_a_task_file_is_sampled_and_resumed(esprobe: Run, sums: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps({"*": ["2", "It is 4", "no idea"]}))
    common = ["--task", sums, "--problems", "0:4", "-t", "1", "--engine", "scripted", "--model", "texts.json"]
    assert esprobe("sample-temp", *common, "--samples", "4").returncode == 0
    more = esprobe("sample-temp", *common, "--samples", "8")
    assert "16 now" in more.stdout
    assert "sums: pass@k with 95 % intervals, scored by number/" in esprobe("passk").stdout
