"""The Slurm array script of the examples, run by bash with stand-ins for Slurm's own two commands."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, Run
from tests.sampling.kills import stored
from tests.sampling.material import query

Submit = Callable[..., "subprocess.Popen[str]"]

SCRIPT = REPOSITORY / "docs" / "examples" / "slurm-array.sh"


def sampler_of(task: "subprocess.Popen[Any]") -> int:
    """The process that draws, below the script."""
    (sampler,) = (
        int(pid)
        for pid in Path(f"/proc/{task.pid}/task/{task.pid}/children").read_text().split()
        if b"esprobe" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    return sampler


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment in which srun runs what follows its options, and scontrol writes down what it was told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, lines in {
        "srun": 'shift; exec "$@"',
        "scontrol": f'echo "$@" >> {tmp_path}/scontrol.log',
        "esprobe": f'exec {sys.executable} -m esprobe "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "node").mkdir()
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_ARRAY_JOB_ID": "77",
        "TMPDIR": str(tmp_path / "node"),
    }


def test_the_tasks_of_an_array_draw_shards_that_merge_into_the_run(
    slurm: dict[str, str], script: Path, esprobe: Run, tmp_path: Path
) -> None:
    arm = ["sample-perturb", "--engine", "scripted", "--model", str(script), "--problems", "200:210", "--sigma", "0.1"]
    for number in ("1", "9", "16"):
        words = ["bash", str(SCRIPT), *arm, "--samples", "16"]
        subprocess.run(words, env=slurm | {"SLURM_ARRAY_TASK_ID": number}, check=True, capture_output=True)
    assert not list((tmp_path / "node").iterdir())
    merged = esprobe("merge", "--into", "all.db", *sorted(tmp_path.glob("shard-77-*.db")))
    assert merged.returncode == 0, merged.stderr
    assert query(tmp_path / "all.db", "SELECT seed, count(*) FROM rollout GROUP BY 1") == [
        (0, 10),
        (42, 10),
        (50, 10),
        (57, 10),
    ]
    assert not (tmp_path / "scontrol.log").exists()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize("reaches_script", [False, True])
def test_a_task_that_is_told_to_stop_keeps_its_rollouts_and_queues_itself_again(
    slurm: dict[str, str], script: Path, tmp_path: Path, number: signal.Signals, reaches_script: bool
) -> None:
    arm = ["sample-temp", "--engine", "scripted", "--model", str(script), "-t", "1", "--samples", "16000"]
    node = tmp_path / "node" / "esprobe-77-2.db"
    words = ["bash", str(SCRIPT), *arm]
    environment = slurm | {"SLURM_ARRAY_TASK_ID": "2"}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as task:
        until = time.monotonic() + 60
        while not stored(node):
            assert time.monotonic() < until and task.poll() is None
            time.sleep(0.05)
        sampler = sampler_of(task)
        if reaches_script:
            os.kill(task.pid, number)
        os.kill(sampler, number)
        task.communicate(timeout=60)
    assert task.returncode == 75
    assert (tmp_path / "scontrol.log").read_text() == "requeue 77_2\n"
    assert stored(tmp_path / "shard-77-2.db") > 0
    assert query(tmp_path / "shard-77-2.db", "SELECT outcome FROM session") == [("stopped",)]
    assert not node.exists()


@pytest.fixture
def submit(slurm: dict[str, str], script: Path) -> Submit:
    """Starts the first task of an array, by its number, with what sbatch was given."""

    def start(array: str, *arm: str, **variables: str) -> "subprocess.Popen[str]":
        words = ["bash", str(SCRIPT), *arm, "--engine", "scripted", "--model", str(script), "--problems", "200:210"]
        environment = slurm | {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": array} | variables
        return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    return start


def ended(task: "subprocess.Popen[str]") -> tuple[int, str]:
    _, stderr = task.communicate(timeout=60)
    return task.returncode, stderr


def sessions(database: Path) -> list[str]:
    return [str(outcome) for (outcome,) in query(database, "SELECT outcome FROM session ORDER BY id")]


SOME = ("sample-perturb", "--sigma", "0.1", "--samples", "16")
MANY = ("sample-temp", "-t", "1", "--samples", "800000")


def test_arrays_have_files_of_their_own_and_go_on_with_those_of_another_when_told_to(
    submit: Submit, tmp_path: Path
) -> None:
    assert ended(submit("77", *SOME))[0] == 0
    assert ended(submit("78", "sample-temp", "-t", "1", "--samples", "16"))[0] == 0
    assert ended(submit("79", *SOME[:-1], "32", CONTINUE="77"))[0] == 0
    assert sorted(path.name for path in tmp_path.glob("shard-*.db")) == ["shard-77-1.db", "shard-78-1.db"]
    assert [len(sessions(tmp_path / f"shard-{array}-1.db")) for array in (77, 78)] == [2, 1]
    code, stderr = ended(submit("80", *SOME, CONTINUE="7"))
    assert code == 2 and "CONTINUE=7, and there is no shard-7-*.db" in stderr


def test_what_another_array_kept_meanwhile_is_kept_too(submit: Submit, tmp_path: Path) -> None:
    kept = tmp_path / "shard-77-1.db"
    assert ended(submit("77", *SOME))[0] == 0
    slow = submit("78", *MANY, CONTINUE="77")
    node = tmp_path / "node" / "esprobe-78-1.db"
    until = time.monotonic() + 60
    while stored(node) < 100:
        assert time.monotonic() < until and slow.poll() is None
        time.sleep(0.05)
    assert ended(submit("79", "sample-perturb", "--sigma", "0.2", "--samples", "16", CONTINUE="77"))[0] == 0
    assert sessions(kept) == ["done", "done"]
    os.kill(sampler_of(slow), signal.SIGUSR1)
    assert ended(slow)[0] == 75
    assert sorted(sessions(kept)) == ["done", "done", "stopped"]
    assert query(kept, "SELECT count(*) FROM condition WHERE sigma IN (0.1, 0.2) OR temperature = 1") == [(3,)]


def test_what_a_killed_task_left_on_its_node_is_gone_on_with(submit: Submit, tmp_path: Path) -> None:
    task = submit("77", *MANY)
    node = tmp_path / "node" / "esprobe-77-1.db"
    until = time.monotonic() + 60
    while stored(node) < 100:
        assert time.monotonic() < until and task.poll() is None
        time.sleep(0.05)
    sampler = sampler_of(task)
    task.kill()
    os.kill(sampler, signal.SIGKILL)
    ended(task)
    left = stored(node)
    task = submit("77", *MANY)
    while stored(node) <= left:
        assert time.monotonic() < until + 60 and task.poll() is None
        time.sleep(0.05)
    os.kill(sampler_of(task), signal.SIGUSR1)
    assert ended(task)[0] == 75
    assert stored(tmp_path / "shard-77-1.db") > left


@pytest.mark.parametrize("told", [False, True])
def test_a_copy_that_fails_costs_nothing_that_is_kept(
    submit: Submit, slurm: dict[str, str], tmp_path: Path, told: bool
) -> None:
    kept = tmp_path / "shard-77-1.db"
    assert ended(submit("77", *SOME))[0] == 0
    before = kept.read_bytes()
    (tmp_path / "bin" / "cp").write_text(f'#!/bin/sh\n: > "$2"\n{"kill -TERM $PPID" if told else ""}\nexit 1\n')
    (tmp_path / "bin" / "cp").chmod(0o755)
    code, stderr = ended(submit("78", *SOME[:-1], "32", CONTINUE="77"))
    assert kept.read_bytes() == before
    assert (code, "so nothing was drawn" in stderr) == ((75, False) if told else (1, True))
    assert (tmp_path / "scontrol.log").exists() is told


def test_what_could_not_be_copied_back_is_joined_with_what_was_kept_since(submit: Submit, tmp_path: Path) -> None:
    kept, cp = tmp_path / "shard-77-1.db", tmp_path / "bin" / "cp"
    assert ended(submit("77", *SOME))[0] == 0
    cp.write_text('#!/bin/sh\ncase "$2" in *.part) exit 1 ;; esac\nexec /bin/cp "$@"\n')
    cp.chmod(0o755)
    assert ended(submit("78", *SOME[:-1], "64", CONTINUE="77"))[0] == 1
    cp.unlink()
    left = stored(tmp_path / "node" / "esprobe-78-1.db")
    assert left > stored(kept)
    assert ended(submit("79", "sample-perturb", "--sigma", "0.2", "--samples", "16", CONTINUE="77"))[0] == 0
    assert ended(submit("78", *SOME[:-1], "64", CONTINUE="77"))[0] == 0
    assert stored(kept) > left
    assert len(sessions(kept)) == 3  # the last of the four had nothing to draw


def test_a_signal_during_the_copy_back_does_not_lose_it(submit: Submit, tmp_path: Path) -> None:
    cp = tmp_path / "bin" / "cp"
    cp.write_text(f"#!/bin/sh\nrm {cp}\nkill -TERM $(cat {tmp_path}/task)\nsleep 0.5\nexit 1\n")
    cp.chmod(0o755)
    task = submit("77", *SOME)
    (tmp_path / "task").write_text(str(task.pid))
    assert ended(task)[0] == 0
    assert sessions(tmp_path / "shard-77-1.db") == ["done"]


def test_a_database_that_cannot_be_copied_back_is_told_and_stays(submit: Submit, tmp_path: Path) -> None:
    code, stderr = ended(submit("77", *SOME, SLURM_SUBMIT_DIR=str(tmp_path / "gone")))
    assert code == 1
    node = tmp_path / "node" / "esprobe-77-1.db"
    assert f"what was drawn stays in {node} on " in stderr
    assert sessions(node) == ["done"]
    assert not (tmp_path / "scontrol.log").exists()


@pytest.mark.parametrize(("ending", "again"), [("kill -TERM $$", True), ("kill -USR1 $$", True), ("exit 1", False)])
def test_a_task_is_queued_again_for_a_signal_and_not_for_an_error(
    slurm: dict[str, str], tmp_path: Path, ending: str, again: bool
) -> None:
    """The signal may come before there is anyone to handle it."""
    (tmp_path / "bin" / "esprobe").write_text(f"#!/bin/sh\n{ending}\n")
    done = subprocess.run(["bash", str(SCRIPT)], env=slurm | {"SLURM_ARRAY_TASK_ID": "3"}, capture_output=True)
    assert done.returncode in (138, 143, 1)
    assert (tmp_path / "scontrol.log").exists() is again
