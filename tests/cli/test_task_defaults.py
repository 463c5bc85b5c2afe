"""Where nobody gives a slice, a token limit or a prompt style, they are the task's own."""

import json
import shlex
from pathlib import Path

import pytest

from esprobe.store import RolloutStore
from tests.conftest import Run
from tests.tasks.task_files import WORKS, write_rows, write_task

pytest.importorskip("yaml")
pytest.importorskip("regex")


@pytest.fixture
def engine(tmp_path: Path) -> list[str]:
    (tmp_path / "texts.json").write_text(json.dumps({"*": ["#### 2", "no idea"]}))
    write_rows(tmp_path, [{"q": f"{n} + 1", "a": n + 1} for n in range(70)])
    return ["--engine", "scripted", "--model", "texts.json"]


def sampled(path: Path) -> tuple[list[int], int, str]:
    """Indices of the problems, token limit and prompt style of the first condition."""
    with RolloutStore.open(path) as store:
        stored = store.conditions()[0]
        condition = stored.condition
        return store.correctness(stored.id).problems.tolist(), condition.max_tokens, condition.prompt


@pytest.mark.parametrize(
    ("changes", "problems", "tokens"),
    [
        ({}, range(70), 1024),
        ({"train": "0:60"}, range(60, 70), 1024),
        ({"train": "0:60", "problems": "0:3", "max_tokens": "9"}, range(3), 9),
    ],
)
def test_a_file_says_what_is_sampled(
    esprobe: Run, tmp_path: Path, engine: list[str], changes: dict[str, str], problems: range, tokens: int
) -> None:
    task = write_task(tmp_path, **changes)
    done = esprobe("sample-temp", "--task", task, "-t", "1", "--samples", "1", *engine)
    assert done.returncode == 0, done.stderr
    assert sampled(tmp_path / "esprobe.db") == (list(problems), tokens, "chat")


def test_what_is_given_wins(esprobe: Run, tmp_path: Path, engine: list[str]) -> None:
    task = write_task(tmp_path, train="0:60", max_tokens="9")
    given = ["--problems", "1:3", "--max-tokens", "8", "--prompt", "raw"]
    assert esprobe("sample-temp", "--task", task, "-t", "1", "--samples", "1", *given, *engine).returncode == 0
    assert sampled(tmp_path / "esprobe.db") == ([1, 2], 8, "raw")


def test_a_scan_takes_the_first_test_problems(esprobe: Run, tmp_path: Path, engine: list[str]) -> None:
    task = write_task(tmp_path, train="0:2")
    done = esprobe("scan", "--space", "token", "--task", task, "--points", "2", "--samples", "2", *engine)
    assert done.returncode == 0, done.stderr
    assert sampled(tmp_path / "esprobe.db")[0] == list(range(2, 66))


def test_training_needs_training_problems(esprobe: Run, tmp_path: Path, engine: list[str]) -> None:
    done = esprobe("train-es", "--task", write_task(tmp_path), "--iterations", "1", *engine)
    assert done.returncode == 2
    assert f"task {WORKS['name']} names no training problems" in done.stderr
    assert not (tmp_path / "esprobe.db").exists()


def test_a_plan_counts_the_tasks_problems_and_tokens(esprobe: Run, tmp_path: Path, engine: list[str]) -> None:
    task = write_task(tmp_path, train="0:60", max_tokens="9")
    plan = ["plan", "--task", task, "-t", "1", "--samples", "2", *engine]
    assert "20" in esprobe(*plan).stdout
    refused = esprobe(*plan, "--tokens", "10")
    assert "--tokens must be at most --max-tokens (9), got 10" in refused.stderr


def test_a_slice_that_is_none_is_refused(esprobe: Run, tmp_path: Path, engine: list[str]) -> None:
    done = esprobe("sample-temp", "--task", write_task(tmp_path), "-t", "1", "--problems", "5", *engine)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--problems must be FIRST:STOP" in done.stderr


def test_a_task_file_is_found_again_where_it_was(esprobe: Run, process: Run, tmp_path: Path, engine: list[str]) -> None:
    task = write_task(tmp_path, problems="0:4")
    assert esprobe("sample-temp", "--task", task, "-t", "1", "--samples", "4", *engine).returncode == 0
    assert "verdicts: ok (20 recomputed)" in esprobe("verify").stdout
    write_task(tmp_path, problems="0:4", compare="exact", max_tokens="9")
    done = esprobe("rescore", "--scorer", "exact")
    assert done.returncode == 0, done.stderr
    assert "now by exact/" in done.stdout
    assert "has changed since it was sampled from" in process("passk", "--k", "1").stdout
    write_task(tmp_path, problems="0:4", max_tokens="9")
    assert "has changed" not in process("passk", "--k", "1").stdout


def commands(stderr: str) -> list[list[str]]:
    """The rescore commands that warnings print, as arguments."""
    return [shlex.split(line.partition(": esprobe ")[2]) for line in stderr.splitlines() if ": esprobe rescore" in line]


def test_the_command_printed_after_an_edit_of_the_comparison_works(
    esprobe: Run, tmp_path: Path, engine: list[str]
) -> None:
    sample = ["sample-temp", "--task", tmp_path / "task.yaml", "-t", "1", *engine]
    write_task(tmp_path, problems="0:4")
    assert esprobe(*sample, "--samples", "2").returncode == 0
    write_task(tmp_path, problems="0:4", compare="exact")
    (command,) = commands(esprobe(*sample, "--samples", "4").stderr)
    done = esprobe(*command)
    assert done.returncode == 0, done.stderr
    assert "several scorers" not in esprobe("passk", "--k", "1").stdout


def test_the_command_printed_where_a_comparison_fails_works(esprobe: Run, tmp_path: Path, engine: list[str]) -> None:
    judge = tmp_path / "judge.py"
    judge.write_text("def right(answer, gold, row):\n    return answer == gold or 1 / 0\n")
    task = write_task(tmp_path, problems="0:4", compare={"python": "judge.py:right"})
    told = esprobe("sample-temp", "--task", task, "-t", "1", "--samples", "2", *engine).stderr
    judge.write_text("def right(answer, gold, row):\n    return answer == gold\n")
    (command,) = commands(told)
    done = esprobe(*command)
    assert done.returncode == 0, done.stderr
    assert "scorer-error" not in esprobe("show", "--limit", "99").stdout


def test_a_regular_expression_that_takes_long_on_any_text_is_told_before_a_run(
    esprobe: Run, tmp_path: Path, engine: list[str]
) -> None:
    task = write_task(tmp_path, problems="0:1", extract={"regex": r"(?:(?: |\S)+)+[#@]"})
    done = esprobe("sample-temp", "--task", task, "-t", "1", "--samples", "1", *engine)
    assert done.returncode == 1 and "without nested repeats such as (a+)+" in done.stderr
    assert not (tmp_path / "esprobe.db").exists()
