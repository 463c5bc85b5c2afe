"""What goes wrong on the real vLLM: one clear line, exit code 1, what was stored is kept, the next run goes on."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.sampling.test_resume import rows, stored

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PROBLEMS, SAMPLES = 200, 8
ARM = ["sample-perturb", "--sigma", "0.005", "--model", "tiny", "--engine", "vllm", "--samples", str(SAMPLES)]
ARM += ["--problems", f"200:{200 + PROBLEMS}", "--max-tokens", "64", "--max-num-seqs", "32", "--db", "esprobe.db"]


def error_line(stderr: str) -> str:
    """The one line that a command ends with; libraries may have logged before it."""
    (line,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert stderr.rstrip().endswith(line)
    assert "Traceback" not in stderr.split("loading tiny")[1].split("error: ")[1]
    return line


def test_more_memory_than_there_is(esprobe: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "100000")
    done = esprobe(*ARM)
    assert (done.returncode, done.stdout) == (1, "")
    assert "vLLM cannot serve 'tiny' as float32 here" in error_line(done.stderr)
    assert "100000.0 GiB" in done.stderr
    assert stored(tmp_path / "esprobe.db") == 0


def test_an_allocation_that_the_system_refuses(tmp_path: Path) -> None:
    """Sixteen GiB of keys and values under a limit of ten."""
    done = subprocess.run(
        [sys.executable, "-m", "esprobe", *ARM],
        cwd=tmp_path,
        env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "16"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (10 * 2**30, 10 * 2**30)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr[-2000:]
    assert "memory" in error_line(done.stderr)


def test_sizes_that_vllm_refuses_are_one_line(esprobe: Run) -> None:
    done = esprobe(*ARM, "--max-num-seqs", "100000000")
    assert (done.returncode, done.stdout) == (1, "")
    assert "vLLM cannot serve" in error_line(done.stderr)


def descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from descendants(child)


def engine_process(pid: int) -> int:
    """The process in which vLLM's engine lives when it has one of its own."""
    (found,) = [child for child in descendants(pid) if b"EngineCore" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return found


def test_a_worker_process_that_is_killed_loses_nothing(esprobe: Run, tmp_path: Path) -> None:
    database = tmp_path / "esprobe.db"
    own_process = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    command = [sys.executable, "-m", "esprobe", *ARM]
    with subprocess.Popen(command, cwd=tmp_path, env=own_process, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 180
        while stored(database) < PROBLEMS + 100:  # the baseline, and into the first unit
            assert process.poll() is None, process.stderr.read()[-3000:]  # type: ignore[union-attr]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(engine_process(process.pid), signal.SIGKILL)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stderr[-3000:]
    assert "everything stored so far is safe" in error_line(stderr)
    everything = "SELECT condition_id, seed, problem_id, text FROM rollout JOIN completion ON id = completion_id"
    held = rows(database, everything)
    assert PROBLEMS + 100 <= len(held) < PROBLEMS * (SAMPLES + 1)
    assert rows(database, "SELECT outcome FROM session") == [("failed",)]

    done = esprobe(*ARM)
    assert done.returncode == 0, done.stderr[-3000:]
    after = rows(database, everything)
    assert set(held) <= set(after)
    planned = {(1, 0, p) for p in range(1, PROBLEMS + 1)}
    planned |= {(2, seed, p) for seed in range(42, 42 + SAMPLES) for p in range(1, PROBLEMS + 1)}
    assert {row[:3] for row in after} == planned
    assert len(after) == len(planned)
