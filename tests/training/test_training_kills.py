"""Training that is killed at random moments, parent or worker, and resumed: the same model as without, bit for bit."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import run_esprobe
from tests.sampling.kills import descendants, stored
from tests.training.material import drawn, iterations, scripted

TRAIN = [
    *("train-es", "--model", "tiny", "--problems", "0:32", "--eval-problems", "200:232", "--population", "4"),
    *("--iterations", "12", "--eval-every", "4", "--sigma", "0.004", "--alpha", "0.006"),
    *("--max-tokens", "32", "--batch-size", "16"),
]


def struck(command: list[object], folder: Path, after: int, pause_s: float, dice: random.Random) -> tuple[int, bool]:
    """Run the command and kill it, or one of its workers first, once it has stored ``after`` more rollouts.

    Returns its exit code, and whether a worker was killed.
    """
    words = [sys.executable, "-m", "esprobe", *map(str, command)]
    goal = stored(folder / "struck.db") + after
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and stored(folder / "struck.db") < goal:
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.3))  # anywhere in the batches and updates that follow
        workers = [pid for pid, line in descendants(process.pid).items() if "spawn_main" in line]
        of_worker = bool(workers) and dice.random() < 0.6 and process.poll() is None
        if of_worker:
            os.kill(dice.choice(workers), signal.SIGKILL)
            time.sleep(dice.uniform(0, pause_s))  # it may have been started again, or not yet
        process.kill()
        return process.wait(), of_worker


def survive(command: list[object], kills: int, after: int, pause_s: float, folder: Path, seed: int) -> tuple[int, int]:
    """Kill and resume with one and two workers in turn; the database must equal that of a run left in peace.

    Returns:
        Kills before the run was complete, and how many of them came after a worker's.
    """
    dice, done, of_workers = random.Random(seed), 0, 0
    while done < kills:
        more = [*command, "--workers", 1 + done % 2, "--db", "struck.db"]
        code, worker = struck(more, folder, dice.randint(0, after), pause_s, dice)
        assert code == -signal.SIGKILL, f"it was complete after {done} kills: more iterations are needed"
        done += 1
        of_workers += worker
    resumed = run_esprobe(folder, *command, "--workers", 2, "--db", "struck.db")
    assert resumed.returncode == 0, resumed.stderr
    assert "nothing to do" not in resumed.stdout
    assert run_esprobe(folder, *command, "--workers", 1, "--db", "peaceful.db").returncode == 0
    assert iterations(folder / "struck.db") == iterations(folder / "peaceful.db")
    assert [row[1:] for row in drawn(folder / "struck.db")] == [row[1:] for row in drawn(folder / "peaceful.db")]
    verified = run_esprobe(folder, "verify", "--all", "--db", "struck.db")
    assert verified.returncode == 0, verified.stdout
    return done, of_workers


@pytest.mark.slow
def test_a_few_kills(tmp_path: Path) -> None:
    kills, _ = survive(scripted(tmp_path, "--iterations", 500), 4, 1200, 0.2, tmp_path, seed=3)
    assert kills == 4


@pytest.mark.storm
def test_twenty_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kills, of_workers = survive([*TRAIN[:10], "90", *TRAIN[11:]], 20, 400, 8.0, tmp_path, seed=5)
    for name in ("struck", "peaceful"):
        saved = run_esprobe(tmp_path, "save-model", name, "--model", f"{name}.db:1@90")
        assert saved.returncode == 0, saved.stderr
    weights = [
        hashlib.sha256((tmp_path / n / "model.safetensors").read_bytes()[-4_000_000:]) for n in ("struck", "peaceful")
    ]
    assert weights[0].digest() == weights[1].digest()
    with capsys.disabled():
        print(
            f"\n{kills} kills of the command, {of_workers} of them after a worker; sha256 {weights[0].hexdigest()[:16]}"
        )
