"""Tasks of other authors: whatever their code does, nothing that was sampled is lost, and every command works."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.sampling.material import query
from tests.tasks.foreign_package import TASK, Package

pytestmark = pytest.mark.slow
ROWS = [[1, 2], [3, 4], [5, 6], [7, 8]]
SAMPLE = ("sample-temp", "--engine", "scripted", "--model", "model.json", "--problems", "0:4", "-t", "1")
READING = [
    *(("passk",), ("passk", "--format", "json"), ("report",), ("report", "--format", "json"), ("status",), ("show",)),
    *(("compare", "greedy", "T=1"), ("compare", "null", "T=1"), ("export",), ("backup", "copy.db", "--overwrite")),
    ("merge", "esprobe.db", "--into", "merged.db"),
]
"""Commands that need no code of the task."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=":")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    script(tmp_path, "3", "7", "11", "")
    return Package(tmp_path / "site")


def script(folder: Path, *texts: str) -> None:
    (folder / "model.json").write_text(json.dumps({"*": texts}))


def sample(process: Run, *more: object, task: str = "sums") -> str:
    done = process(*SAMPLE, "--task", task, "--data", "rows.json", "--samples", "8", *more)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_every_command_works_with_and_without_the_package(process: Run, package: Package, tmp_path: Path) -> None:
    sample(process)
    before = {}
    for command in READING:
        done = process(*command)
        assert done.returncode == 0, (command, done.stderr)
        before[command] = done.stdout
    assert "random digits" in before[("passk",)]
    for command in (("verify",), ("rescore", "--scorer", "generous")):
        assert process(*command).returncode == 0
    package.uninstall()
    for command in READING:
        done = process(*command)
        assert done.returncode == 0, (command, done.stderr)
        if "--format" not in command and command[0] in ("passk", "report"):
            assert "sums is not installed here" in done.stdout.replace("\\", "") and "random digits" in done.stdout
    without = json.loads(process("passk", "--format", "json").stdout)
    assert without["nulls"] == json.loads(before[("passk", "--format", "json")])["nulls"] != []
    verified = process("verify")
    assert verified.returncode == 0 and "not recomputed: no task is called 'sums'" in verified.stdout
    for command in (("rescore", "--scorer", "generous"), (*SAMPLE, "--task", "sums")):
        refused = process(*command)
        assert (refused.returncode, refused.stderr.count("\n")) == (
            2,
            1,
        ) and "no task is called 'sums'" in refused.stderr


def test_the_other_commands_take_such_a_task(process: Run, package: Package, tmp_path: Path) -> None:
    data = ("--task", "sums", "--data", "rows.json")
    engine = ("--engine", "scripted", "--model", "model.json", *data)
    few = ("--problems", "0:4")
    for command in (
        ("data", "show", "--problem", 1, *data),
        ("plan", *engine, *few, "-t", "1"),
        ("scan", *engine, *few, "--samples", 2, "--points", 3),
        ("train-es", *engine, *few, "--population", 2, "--iterations", 2, "--eval-problems", "0:2", "--db", "t.db"),
        ("verify", "--db", "t.db"),
        ("salvage", "t.db", "--into", "saved.db"),
        ("report", "--db", "t.db", "--condition", "training"),
    ):
        done = process(*command)
        assert done.returncode == 0 and "Traceback" not in done.stderr, (command, done.stderr)
    sample(process)
    (tmp_path / "out.jsonl").write_text(process("export", "--condition", "T=1").stdout)
    imported = process("import", "out.jsonl", "--label", "again", *data, "--db", "i.db")
    assert imported.returncode == 0 and "32 rollouts of 4 problems imported" in imported.stdout, imported.stderr
    package.edit("answer = completion.strip() or None", "answer = {'3': 3}[completion]")
    imported = process("import", "out.jsonl", "--label", "again", *data, "--db", "j.db", "--trust", "task")
    assert imported.returncode == 0 and imported.stderr.count("warning: scorer sums/1 failed") == 1


def test_a_scorer_that_raises_exits_or_returns_nothing_costs_those_texts_only(
    process: Run, package: Package, tmp_path: Path
) -> None:
    script(tmp_path, "3", "boom", "exit", "none")
    told = sample(process)
    assert told.count("warning: scorer sums/1 failed on a completion of problem") == 1
    assert "sums_task.py" in told or "returned None" in told
    texts = "SELECT completion, reward, correct, failure FROM rollouts GROUP BY 1 ORDER BY 1"
    failed = [(text, 0.0, 0, "scorer-error") for text in ("boom", "exit", "none")]
    rows = query(tmp_path / "esprobe.db", texts)
    assert [row for row in rows if row[0] != "3"] == failed
    assert query(tmp_path / "esprobe.db", "SELECT count(*) FROM rollouts") == [(4 * 9,)]
    assert "nothing to do" in process(*SAMPLE, "--task", "sums", "--data", "rows.json", "--samples", "8").stdout
    assert process("verify").returncode == 0
    package.edit('raise ZeroDivisionError("no such luck")', "pass")
    package.edit("return None\n", "return Score(1.0, True, completion, 'no')\n")
    done = process("rescore", "--force", "--write")
    assert done.returncode == 0 and done.stderr.count("warning: scorer sums/1 failed") == 1
    assert [row[3] for row in query(tmp_path / "esprobe.db", texts)][1:] == ["wrong", "scorer-error", "scorer-error"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def data_set(self, data):", "def data_set(self, data):\n        raise OSError('disk')", "data_set failed"),
        (
            "def prompt(self, problem, style):",
            "def prompt(self, problem, style):\n        1 / 0",
            "prompt failed on problem 0",
        ),
        ('name = "sums"', 'name = "summs"', "it is registered as 'sums'"),
        ("Problem(i, {", "Problem(i + 1, {", "problems[0].index is 1, not its position 0"),
        ('{"a": a, "b": b}', '{"a": a, "b": {1, b}}', "inputs cannot be stored as JSON"),
        ('{"a": a, "b": b}', '{"a": a, "b": b, 1: 2}', "inputs are others when read back"),
        (
            "answer = completion.strip() or None",
            "answer = completion.split()[0]",
            "score of problem 0 on an empty text",
        ),
        ('None if right else "wrong"', "None", "has no failure"),
        ("right, answer, None", "True, answer, 'x' or None", "is correct and has a failure"),
        ("Score(float(right),", "Score(float('inf'),", "of a finite number"),
        ("right, answer, None", "right, 5, None", "a text or None"),
        (
            "answer = completion",
            "import time; time.sleep(len(completion) / 1e5); answer = completion",
            "takes more than",
        ),
        ("import json", "import json, nothing_like_it", "cannot be loaded"),
    ],
    ids=[
        "data",
        "prompt",
        "name",
        "index",
        "set",
        "keys",
        "empty",
        "failure",
        "both",
        "inf",
        "answer",
        "slow",
        "import",
    ],
)
def test_what_breaks_the_contract_is_one_line_before_a_model_is_loaded(
    process: Run, package: Package, tmp_path: Path, old: str, new: str, said: str
) -> None:
    package.edit(old, new)
    # A model that does not exist: it must not be looked for.
    done = process(*SAMPLE, "--model", "absent.json", "--task", "sums", "--data", "rows.json")
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "esprobe.db").exists()
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: ") and all(line.startswith("- ") for line in lines[1:])


def test_a_task_that_fails_on_its_data_does_not_take_the_blame_alone(
    process: Run, package: Package, tmp_path: Path
) -> None:
    package.edit('raise DataError("the task sums has no data of its own; name a file with --data")', "open(data)")
    assert "If the task needs data, give --data PATH" in process("data", "check", "--task", "sums").stderr
    (tmp_path / "other.json").write_text('[{"a": 1}]')
    told = process("data", "check", "--task", "sums", "--data", "other.json").stderr
    assert "failed on --data other.json" in told and "Correct other.json, if it is not of the task's form" in told


@pytest.mark.parametrize("method", ["null_probabilities", "value", "expression"])
def test_a_task_that_fails_in_analysis_is_named_and_the_rest_is_shown(
    process: Run, package: Package, method: str
) -> None:
    sample(process)
    whole = json.loads(process("report", "--format", "json").stdout)["conditions"][1]["pass_at_k"]
    package.edit(
        f"def {method}(self,", f"def {method}(self, *_):\n        raise KeyError('lost')\n\n    def _{method}(self,"
    )
    done = process("report", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conditions"][1]["pass_at_k"] == whole
    if method == "null_probabilities":
        assert "lost" not in done.stderr  # stored when it was sampled
    else:
        assert "sums cannot be used here" in done.stderr and f"{method} failed on problem" in done.stderr


def test_what_a_task_prints_is_not_among_the_results(process: Run, package: Package) -> None:
    package.edit("import json\n", "import json\nprint('PRINTED')\n")
    package.edit('if "boom"', "print('PRINTED')\n        if \"boom\"")
    package.edit("return Fraction", "print('PRINTED') or 1\n        return Fraction")
    assert "PRINTED" in sample(process)
    for command in (("report", "--format", "json"), ("rescore", "--scorer", "generous", "--format", "json")):
        json.loads(process(*command).stdout)


def test_an_edited_scorer_is_recognised_and_scored_again_by_force(
    process: Run, package: Package, tmp_path: Path
) -> None:
    sample(process)
    plain = process("rescore", "--write").stderr
    assert "nothing to do" in plain and "has changed" not in plain
    package.edit("answer == str(goal)", "answer == str(goal) or answer == '11'")
    assert "source of scorer sums/1 has changed" in sample(process, "--samples", "9")
    assert "has changed since it scored 1 of these sessions" in process("rescore", "--write").stderr
    assert "whose source has changed since" in process("verify").stdout
    assert process("passk").stdout.count("sums/1 (source ") >= 2
    assert "rescore --scorer sums/1 --force --write" in " ".join(process("passk").stdout.split())
    elevens = "SELECT min(correct) FROM rollouts WHERE completion = '11' AND problem <> 2"
    assert query(tmp_path / "esprobe.db", elevens) == [(0,)]
    assert process("rescore", "--force", "--write").returncode == 0
    assert query(tmp_path / "esprobe.db", elevens) == [(1,)]
    assert "(source " not in process("passk").stdout
    assert "nothing to do" in process("rescore", "--write").stderr
    assert "has changed" not in process("rescore", "--write").stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_in_a_file_needs_no_package(process: Run, tmp_path: Path, workers: int) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "my_task.py").write_text(TASK)
    script(tmp_path, "3", "7", "11", "")
    sample(process, "--workers", workers, task="own/my_task.py:load")
    found = query(tmp_path / "esprobe.db", "SELECT task_file, length(scorer_digest) FROM session")
    assert found == [(f"{tmp_path}/own/my_task.py:load", 64)]
    for command in (*READING, ("verify",), ("rescore", "--scorer", "generous")):
        done = process(*command)
        assert done.returncode == 0 and "not installed" not in done.stdout + done.stderr, (command, done.stderr)
    assert "Traceback" not in process("show").stderr
    (tmp_path / "own" / "my_task.py").unlink()
    done = process("passk")
    assert done.returncode == 0 and "sums cannot be used here" in done.stdout and "random digits" in done.stdout


def test_a_task_object_is_sampled_from_python(tmp_path: Path) -> None:
    from esprobe.sampling.run import run
    from esprobe.sampling.stop import StopSignals
    from esprobe.tasks import register
    from tests.sampling.material import Watcher, job

    namespace: dict[str, object] = {"__name__": "notebook"}
    exec(TASK.replace('"sums"', '"notebook-sums"'), namespace)
    register(namespace["Sums"]())  # type: ignore[operator]
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    script(tmp_path, "3")
    asked = job(tmp_path / "model.json", tmp_path / "rows.json", task="notebook-sums", problems=(0, 4))
    with StopSignals() as stop:
        assert run(asked, tmp_path / "e.db", Watcher(), stop).outcome == "done"
    with sqlite3.connect(tmp_path / "e.db") as connection:
        assert connection.execute("SELECT sum(correct), count(*) FROM rollouts").fetchone() == (5, 20)
