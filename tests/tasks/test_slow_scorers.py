"""Slow scorers run beside the loop: what they do neither stops nor corrupts a run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.sampling.material import query

pytestmark = pytest.mark.slow

TASK = """
import os, sys, time
from esprobe.spec import Problem, Prompt, Score, digest_of
from esprobe.tasks import DataSet


class Slow:
    name = "slow"
    prompts = ("chat",)
    scorers = ("slow/1",)
    slow_scorers = {"slow/1": 1.0}

    def data_set(self, data):
        return DataSet("numbers", digest_of(20), [Problem(i, {"n": i}, "all") for i in range(20)])

    def prompt(self, problem, style):
        return Prompt((("user", str(problem.inputs["n"])),), "")

    def verdict_key(self, problem, completion, scorer):
        return completion.split("#")[0]

    def score(self, problem, completion, scorer):
        with open("scored.txt", "a") as file:
            file.write(f"{problem.index} {completion}\\n")
        match completion.split("#")[0]:
            case "sleep":
                time.sleep(1000)
            case "hang":
                while True:
                    pass
            case "raise":
                raise ValueError("what is this?")
            case "print":
                print("PRINTED")
                os.write(1, b"WRITTEN")
            case "exit":
                sys.exit(0)
            case "die":
                os._exit(0)
            case "segv":
                os.kill(os.getpid(), 11)
        time.sleep(0.005)
        return Score(1.0, True, completion, None)


def load():
    return Slow()
"""
SAMPLE = ("sample-temp", "--engine", "scripted", "--model", "model.json", "--task", "task.py:load", "-t", "1")


def prepare(folder: Path, *texts: str) -> None:
    (folder / "task.py").write_text(TASK)
    (folder / "model.json").write_text(json.dumps({"*": texts}))


def test_whatever_a_slow_scorer_does_the_run_ends_with_every_text(process: Run, tmp_path: Path) -> None:
    prepare(tmp_path, "right", "sleep", "raise", "print", "exit", "die", "segv")
    done = process(*SAMPLE, "--problems", "0:1", "--samples", "60")
    assert done.returncode == 0, done.stderr
    assert "PRINTED" not in done.stdout and "WRITTEN" not in done.stdout
    assert done.stderr.count("warning: scorer slow/1 failed") == 1
    found = query(tmp_path / "esprobe.db", "SELECT DISTINCT completion, correct, failure FROM rollouts ORDER BY 1")
    failed = [(text, 0, "scorer-error") for text in ("die", "exit", "raise", "segv")]
    assert found == sorted([*failed, ("print", 1, None), ("right", 1, None), ("sleep", 0, "timeout")])
    assert query(tmp_path / "esprobe.db", "SELECT count(*) FROM rollouts") == [(61,)]
    assert process("verify").returncode == 0
    rescored = process("rescore", "--force", "--format", "json")
    assert rescored.returncode == 0 and json.loads(rescored.stdout)["conditions"][0]["changed"] == 0


def test_equal_answers_are_scored_once(process: Run, tmp_path: Path) -> None:
    prepare(tmp_path, "a#1", "a#2", "b#1", "b#2", "b#3")
    assert process(*SAMPLE, "--problems", "0:5", "--samples", "40").returncode == 0
    scored = [line.split("#")[0] for line in (tmp_path / "scored.txt").read_text().splitlines()]
    assert sorted(scored) == sorted(f"{index} {answer}" for index in range(5) for answer in "ab")
    assert query(tmp_path / "esprobe.db", "SELECT count(*), sum(correct) FROM rollouts") == [(205, 205)]


def test_training_follows_the_rewards_of_a_slow_scorer(process: Run, tmp_path: Path) -> None:
    prepare(tmp_path, "right", "raise")
    common = ("--engine", "scripted", "--model", "model.json", "--task", "task.py:load", "--problems", "0:4")
    train = ("train-es", *common, "--population", "4", "--iterations", "2", "--eval-problems", "4:8")
    done = process(*train)
    assert done.returncode == 0 and done.stderr.count("warning: scorer slow/1 failed") == 1, done.stderr
    assert query(tmp_path / "esprobe.db", "SELECT DISTINCT reward, completion FROM rollouts ORDER BY 1") == [
        (0.0, "raise"),
        (1.0, "right"),
    ]
    assert query(tmp_path / "esprobe.db", "SELECT count(*) FROM iteration") == [(2,)]
    assert "nothing to do" in process(*train).stdout and process("verify").returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_ends_leaves_no_scorer_behind(tmp_path: Path, process: Run, number: signal.Signals) -> None:
    prepare(tmp_path, "hang")
    command = [sys.executable, "-m", "esprobe", *SAMPLE, "--problems", "0:5", "--samples", "2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        until = time.monotonic() + 60
        while not (tmp_path / "scored.txt").exists():
            assert running.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        children += [pid for pid in os.listdir("/proc") if pid.isdecimal() and parent(pid) == running.pid]
        assert children
        running.send_signal(number)
        running.wait(timeout=90)
    until = time.monotonic() + 30
    while any(alive(pid) for pid in children):
        assert time.monotonic() < until
        time.sleep(0.1)
    # All was drawn when the signal came, and its verdicts were waited for.
    assert running.returncode == (0 if number == signal.SIGTERM else -9)
    prepare(tmp_path, "hang")
    assert process(*SAMPLE, "--problems", "0:1", "--samples", "2").returncode == 0


def parent(pid: str) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


SCORERS = """
import time

def short(inputs, completion):
    return len(completion) < 5

def share(inputs, completion):
    return inputs["target"] in completion and 0.5

def whole(inputs, completion):
    return {"reward": 2.0, "correct": True, "answer": completion.strip()}

def wrong(inputs, completion):
    return "yes"

def noisy(inputs, completion):
    print("PRINTED")
    return True
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("short", [(0.0, 0, None, "wrong"), (1.0, 1, None, None)]),
        ("whole", [(2.0, 1, "98 or so", None), (2.0, 1, "no", None)]),
        ("wrong", [(0.0, 0, None, "scorer-error")] * 2),
        ("noisy", [(1.0, 1, None, None)] * 2),
    ],
)
def test_a_function_of_ones_own_judges_stored_rollouts(
    process: Run, tmp_path: Path, name: str, expected: list[tuple[object, ...]]
) -> None:
    (tmp_path / "judge.py").write_text(SCORERS)
    (tmp_path / "model.json").write_text(json.dumps({"*": ["98 or so", "no"]}))
    sample = ("sample-temp", "--engine", "scripted", "--model", "model.json", "--problems", "200:202", "-t", "1")
    assert process(*sample, "--samples", "16").returncode == 0
    verdicts = "SELECT DISTINCT reward, correct, answer, failure FROM rollouts ORDER BY completion"
    texts = query(tmp_path / "esprobe.db", "SELECT completion FROM rollouts")
    done = process("rescore", "--scorer", f"judge.py:{name}", "--write", "--format", "json")
    assert done.returncode == 0, done.stderr
    stored = json.loads(done.stdout)["conditions"][0]["to"]
    assert stored.startswith(f"{name}/") and len(stored) == len(name) + 13
    assert query(tmp_path / "esprobe.db", verdicts) == list(dict.fromkeys(expected))
    assert query(tmp_path / "esprobe.db", "SELECT completion FROM rollouts") == texts
    assert query(tmp_path / "esprobe.db", "SELECT length(scorer_digest), rescored IS NOT NULL FROM session") == [
        (64, 1)
    ]
    assert "nothing to do" in process("rescore", "--scorer", f"judge.py:{name}").stderr
    for command in (("passk",), ("verify",), ("rescore", "--scorer", "es-paper", "--write")):
        assert process(*command).returncode == 0
    assert process("rescore", "--scorer", "judge.py:absent").stderr.count("\n") == 1


def test_the_scorer_is_chosen_when_sampling_and_is_part_of_a_training_recipe(process: Run, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"*": ["<answer> 1 = 2 </answer>"]}))
    common = ("--engine", "scripted", "--model", "model.json", "--problems")
    assert (
        process("sample-temp", *common, "200:202", "-t", "1", "--samples", "2", "--scorer", "strict/1").returncode == 0
    )
    assert query(tmp_path / "esprobe.db", "SELECT name FROM session JOIN scorer ON scorer.id = scorer_id") == [
        ("strict/1",)
    ]
    refused = process("sample-temp", *common, "200:202", "--scorer", "loose/1")
    assert refused.returncode == 2 and "--scorer must be es-paper/1 or strict/1" in refused.stderr
    train = ("train-es", *common, "0:4", "--population", "2", "--iterations", "1", "--eval-every", "0", "--db", "t.db")
    assert process(*train, "--scorer", "lenient/1").returncode == 0
    recipe = "SELECT json_extract(recipe, '$.scorer') FROM training"
    assert query(tmp_path / "t.db", recipe) == [("lenient/1",)]
    other = process(*train)
    assert other.returncode == 2 and "go on with --scorer lenient/1" in other.stderr
