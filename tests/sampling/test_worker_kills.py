"""The transformers engine in two workers, which are killed, and so is the process that keeps the database."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.sampling.kills import descendants, running, stored
from tests.sampling.material import query, rows

MODEL = ["--model", "tiny", "--max-tokens", "32", "--batch-size", "16", "--no-baseline"]
TOKEN, WEIGHT = ["sample-temp", "-t", "0.8", *MODEL], ["sample-perturb", "--sigma", "0.005", *MODEL]


def workers(process: "subprocess.Popen[str]") -> list[int]:
    return sorted(pid for pid, line in descendants(process.pid).items() if "spawn_main" in line)


@pytest.mark.storm
def test_a_killed_worker_and_a_killed_command_leave_what_an_undisturbed_run_stores(
    tmp_path: Path, process: Run
) -> None:
    db, undisturbed = tmp_path / "killed.db", tmp_path / "undisturbed.db"
    command = [*WEIGHT, "--problems", "200:232", "--samples", "16"]
    with running([*command, "--workers", "2"], db, 32) as killed:
        below = workers(killed)
        assert len(below) == 2
        os.kill(below[0], signal.SIGKILL)
        held = stored(db)
        while stored(db) < held + 32 and killed.poll() is None:
            time.sleep(0.05)
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in below):  # a worker whose command is gone ends by itself
        assert time.monotonic() < until
        time.sleep(0.1)
    resumed = process(*command, "--workers", "2", "--db", db)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming: " in resumed.stderr
    assert process(*command, "--db", undisturbed).returncode == 0
    assert rows(db) == rows(undisturbed)
    assert query(db, "SELECT count(*) FROM completion") == query(db, "SELECT count(*) FROM rollout")


def test_a_signal_while_workers_load_ends_them_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "esprobe", *TOKEN, "--workers", "2", "--db", str(tmp_path / "new.db")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and "loading tiny" in process.stderr.readline()
        below = descendants(process.pid)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Traceback" not in err
    until = time.monotonic() + 10  # Python's own helper process ends a moment after the one that it helped
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.storm
@pytest.mark.parametrize("arm", [[*TOKEN, "--samples", "96"], [*WEIGHT, "--samples", "96"]], ids=["token", "weight"])
def test_ten_kills_of_workers_at_random_change_nothing(arm: list[object], tmp_path: Path, process: Run) -> None:
    db, undisturbed, dice = tmp_path / "killed.db", tmp_path / "undisturbed.db", random.Random(17)
    command = [*arm, "--problems", "200:248"]
    kills = 0
    with running([*command, "--workers", "2"], db, 1) as killed:
        while kills < 10:
            wanted = stored(db) + dice.randint(100, 400)
            while stored(db) < wanted:
                assert killed.poll() is None, f"all was drawn after {kills} kills"
                time.sleep(0.05)
            time.sleep(dice.uniform(0, 0.5))
            os.kill(dice.choice(workers(killed)), signal.SIGKILL)
            kills += 1
        _, err = killed.communicate(timeout=300)
    assert killed.returncode == 0, err
    assert err.count("was killed by SIGKILL") == 10
    assert process(*command, "--db", undisturbed).returncode == 0
    assert rows(db) == rows(undisturbed)
    assert query(db, "PRAGMA integrity_check") == [("ok",)]
