"""The task files of the package, on the real data where they are beside this checkout."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from esprobe.errors import EsprobeError
from esprobe.tasks import FILES, load_task
from esprobe.tasks.base import DataSet
from esprobe.tasks.files import load_file
from esprobe.tasks.files.task import FileTask
from tests.conftest import REPOSITORY

pytest.importorskip("yaml")

SHARED = REPOSITORY.parent / "shared" / "data"
NAMES = sorted(path.stem for path in FILES.glob("*.yaml"))
REAL = {"gsm8k": ("gsm8k-test.jsonl", 1319), "math500": ("math500-test.jsonl", 500)}

ARC = {
    "id": "Mercury_7175875",
    "question": "Which one shines by itself?",
    "choices": {"text": ["a star", "a moon", "a planet"], "label": ["A", "B", "C"]},
    "answerKey": "A",
}
OLYMPIAD = {
    "question": "Solve $x^2 = 4$, $x > 0$.",
    "final_answer": ["$2$"],
    "subfield": "Algebra",
    "is_multiple_answer": False,
}
MATH500 = {"problem": "What is $1 + 1$?", "solution": "It is $\\boxed{2}$.", "answer": "2", "level": 1}


def real(name: str) -> tuple[FileTask, DataSet]:
    if name == "math500":
        pytest.importorskip("math_verify")
    file, count = REAL[name]
    if not (SHARED / file).is_file():
        pytest.skip(f"{file} is not beside this checkout")
    task = load_file(FILES / f"{name}.yaml")
    data = task.data_set(str(SHARED / file))
    assert len(data.problems) == count
    return task, data


def correct(task: FileTask, data: DataSet, answers: Sequence[str]) -> list[bool]:
    """Whether each problem is solved by its answer, written in the form asked for after other answers."""
    found = []
    for problem, answer in zip(data.problems, answers, strict=True):
        texts = [task.parts.extraction.write(one) for one in ("1", answer)]
        found.append(task.score(problem, f"First {texts[0]}, then\n{texts[1]}", task.scorers[0]).correct)
    return found


@pytest.mark.parametrize("name", REAL)
def test_every_gold_answer_is_right(name: str) -> None:
    task, data = real(name)
    golds = [task.golds(problem)[0] for problem in data.problems]
    assert all(correct(task, data, golds))


@pytest.mark.parametrize("name", REAL)
def test_every_gold_answer_is_one_that_the_comparison_reads(name: str) -> None:
    task, data = real(name)
    findings = {one.name: one.problems for one in task.audit(data, (0, len(data.problems)), (0, 0)).findings}
    assert findings == {name: () for name in findings}


@pytest.mark.parametrize("name", ["gsm8k", pytest.param("math500", marks=pytest.mark.slow)])
def test_shuffled_gold_answers_are_wrong(name: str) -> None:
    task, data = real(name)
    golds = [task.golds(problem)[0] for problem in data.problems]
    random.Random(7).shuffle(golds)
    assert 0 < sum(correct(task, data, golds)) < 0.05 * len(golds)


def test_gsm8k_golds_are_read_from_the_end_of_the_solution() -> None:
    task, data = real("gsm8k")
    assert [task.golds(problem)[0] for problem in data.problems[:3]] == ["18", "3", "70000"]
    assert task.score(data.problems[2], "So #### $70,000.00", task.scorers[0]).correct
    (turn,) = task.prompt(data.problems[1], "chat").messages
    assert turn[1].endswith('Let\'s think step by step and output the final answer after "####".')


@pytest.mark.parametrize(
    ("name", "row", "right", "group"),
    [
        ("gsm8k", {"question": "1 + 1?", "answer": "It is 2.\n#### 2"}, "#### 2", "ungrouped"),
        ("math500", MATH500, "\\boxed{2}", "level 1"),
        ("olympiadbench", OLYMPIAD, "\\boxed{2}", "Algebra"),
        ("mcq", ARC, "So it does.\n\nAnswer: A", "ungrouped"),
    ],
)
def test_a_row_of_the_form_that_the_hub_has(
    name: str, row: dict[str, object], right: str, group: str, tmp_path: Path
) -> None:
    import json

    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    task = load_task(name)
    (problem,) = task.data_set(str(tmp_path / "rows.jsonl")).problems
    assert problem.group == group
    assert task.score(problem, right, task.scorers[0]).correct
    assert str(row.get("question", row.get("problem"))) in task.prompt(problem, "chat").messages[-1][1]


def test_choices_are_lettered_in_the_prompt(tmp_path: Path) -> None:
    import json

    (tmp_path / "rows.json").write_text(json.dumps([ARC]))
    task = load_task("mcq")
    (problem,) = task.data_set(str(tmp_path / "rows.json")).problems
    (turn,) = task.prompt(problem, "chat").messages
    assert "where LETTER is one of ABC. Think" in turn[1]
    assert turn[1].endswith("\n\nA) a star\nB) a moon\nC) a planet")


def test_choices_are_a_part_of_the_question(tmp_path: Path) -> None:
    import json

    other = {"text": ["a", "b", "c"], "label": ["A", "B", "C"]}
    rows = [ARC, ARC | {"choices": other}, ARC | {"question": "And now?"}, ARC | {"answerKey": "B"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    task = load_file(FILES / "mcq.yaml")
    data = task.data_set(str(tmp_path / "rows.json"))
    found = {one.name: one.problems for one in task.audit(data, (0, 4), (0, 0)).findings}
    assert (found["duplicate"], found["duplicate, another answer"]) == ((3,), (3,))
    keys = [task.content_key(row) for row in rows]
    assert None not in keys
    assert len(set(keys)) == 3
    assert task.content_key({"question": "And now?"}) is None


@pytest.mark.parametrize("name", NAMES)
def test_without_data_a_task_says_what_it_needs(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    task = load_task(name)
    assert task.name == name
    with pytest.raises(EsprobeError, match=rf"task {name} reads .*huggingface\.co/datasets/.*--data") as caught:
        task.data_set(None)
    assert "\n" not in str(caught.value)
