"""A process of vLLM's engine is killed in the middle of a unit: one line, exit code 1, nothing lost, resumable."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.sampling.test_resume import rows, stored

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PROBLEMS, SAMPLES = 200, 20
ARM = ["sample-perturb", "--sigma", "0.005", "--model", "tiny", "--engine", "vllm", "--samples", str(SAMPLES)]
ARM += ["--problems", f"200:{200 + PROBLEMS}", "--max-tokens", "64", "--max-num-seqs", "32", "--db", "esprobe.db"]
WANTED = PROBLEMS * (SAMPLES + 1)
HELD = "SELECT condition_id, seed, problem_id, text FROM rollout JOIN completion ON id = completion_id"

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
TWO = {"VLLM_CPU_OMP_THREADS_BIND": "|".join(map(str, CORES[:2])), "VLLM_CPU_KVCACHE_SPACE": "1"}
needs_two = pytest.mark.skipif(len(CORES) < 2, reason="two workers need two cores")


def killed_process(command: list[str], settings: dict[str, str], folder: Path, victim: str) -> tuple[int, str]:
    """Run the command, kill its process of that name once a unit is under way; its exit code and standard error."""
    import psutil

    with subprocess.Popen(
        command, cwd=folder, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            deadline = time.monotonic() + 420
            while stored(folder / "esprobe.db") < PROBLEMS + PROBLEMS // 2:  # past the baseline, inside the first seed
                assert process.poll() is None, process.communicate()[1][-3000:]
                assert time.monotonic() < deadline, "nothing stored in seven minutes"
                time.sleep(0.02)
            (found, *_) = [
                child
                for child in psutil.Process(process.pid).children(recursive=True)
                if any(victim in part for part in child.cmdline())
            ]
            os.kill(found.pid, signal.SIGKILL)
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    return process.returncode, said


@pytest.mark.parametrize(
    ("options", "settings", "victim"),
    [
        pytest.param(
            [],
            {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
            "EngineCore",
            id="the engine's own process",
            marks=pytest.mark.storm,
        ),
        pytest.param(
            ["--tensor-parallel-size", "2"],
            TWO | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
            "Worker",
            id="one of two workers",
            marks=[needs_two, pytest.mark.storm],
        ),
        pytest.param(
            ["--tensor-parallel-size", "2"],
            TWO | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
            "Worker",
            id="one of two workers, whose engine has no process of its own",
            marks=[needs_two, pytest.mark.storm],  # minutes, for a setting that few use
        ),
    ],
)
def test_killed_in_the_middle_of_a_unit(
    options: list[str], settings: dict[str, str], victim: str, process: Run, tmp_path: Path
) -> None:
    code, said = killed_process([sys.executable, "-m", "esprobe", *ARM, *options], settings, tmp_path, victim)
    assert code == 1, said[-3000:]
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said[-3000:]
    line = lines[0]
    assert "a process of its engine died" in line
    assert "Run the same command again" in line
    assert "Traceback" not in said.split("error: ")[-1]
    held = rows(tmp_path / "esprobe.db", HELD)
    assert PROBLEMS < len(held) < WANTED

    done = process(*ARM)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"resuming: {len(held):,} of {WANTED:,} stored" in done.stderr
    after = rows(tmp_path / "esprobe.db", HELD)
    assert set(held) <= set(after)
    keys = {(condition, seed, problem) for condition, seed, problem, _ in after}
    assert len(keys) == len(after) == WANTED
