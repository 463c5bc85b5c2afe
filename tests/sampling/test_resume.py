"""Real kills: the transformers engine and the bundled model, killed at random moments, against an undisturbed run."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.sampling.material import invoke, write_data

ARMS = {
    "token space": ["sample-temp", "-t", "0.8", "-t", "1.0", "--samples", "16"],
    "weight space": ["sample-perturb", "--sigma", "0.005", "--sigma", "0.02", "--samples", "12"],
}
COMMON = ["--model", "tiny", "--problems", "200:216", "--max-tokens", "32", "--batch-size", "16"]
EVERYTHING = (
    "SELECT digest, seed, problem_index, text, reward, correct, answer, failure, token_count, finish_reason "
    "FROM rollout JOIN condition ON condition.id = condition_id JOIN problem ON problem.id = problem_id "
    "JOIN completion ON completion.id = completion_id ORDER BY digest, seed, problem_index"
)


def rows(database: Path, query: str = EVERYTHING) -> list[tuple]:
    with sqlite3.connect(database) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def stored(database: Path) -> int:
    try:
        return rows(database, "SELECT count(*) FROM rollout")[0][0]
    except sqlite3.OperationalError:
        return 0  # not made yet, or no table in it yet


def killed_after(command: list[str], database: Path, more: int, number: signal.Signals, chance: random.Random) -> int:
    """Start the command, signal it at a random moment after ``more`` new rollouts; its exit code."""
    wanted = stored(database) + more
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        held, since = -1, time.monotonic()
        while (now := stored(database)) < wanted:
            assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
            if now != held:
                held, since = now, time.monotonic()
            # A real model may be slow on a CPU; what it may not do is stand still.
            assert time.monotonic() - since < 180, f"{held} of {wanted} rollouts stored, and then none"
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.5))
        process.send_signal(number)
        process.communicate(timeout=60)
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS)
def test_three_kills_and_resumes_equal_one_undisturbed_run(
    arm: str, esprobe: Run, tmp_path: Path, chance: random.Random
) -> None:
    undisturbed, killed = tmp_path / "undisturbed.db", tmp_path / "killed.db"
    done = esprobe(*ARMS[arm], *COMMON, "--db", undisturbed)
    assert done.returncode == 0, done.stderr

    command = [sys.executable, "-m", "esprobe", *ARMS[arm], *COMMON, "--db", str(killed)]
    kills = 0
    for _ in range(3):
        kills += killed_after(command, killed, chance.randint(1, 100), signal.SIGKILL, chance) == -signal.SIGKILL
    assert kills == 3
    resumed = esprobe(*ARMS[arm], *COMMON, "--db", killed)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming: " in resumed.stderr

    assert rows(killed) == rows(undisturbed)
    assert rows(killed, "SELECT count(*) FROM completion") == rows(killed, "SELECT count(*) FROM rollout")
    assert rows(killed, "PRAGMA integrity_check") == [("ok",)]
    again = esprobe(*ARMS[arm], *COMMON, "--db", killed)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_stops_a_real_model_with_everything_stored(
    number: signal.Signals, code: int, tmp_path: Path, esprobe: Run, chance: random.Random
) -> None:
    database = tmp_path / "stopped.db"
    arguments = ["sample-temp", "-t", "1.0", "--samples", "400", *COMMON, "--db", str(database)]
    assert killed_after([sys.executable, "-m", "esprobe", *arguments], database, 20, number, chance) == code
    held = stored(database)
    assert held >= 20
    assert rows(database, "SELECT outcome FROM session") == [("stopped",)]
    assert rows(database, "SELECT sum(rollouts) FROM work") == [(held,)]
    fewer = esprobe(*[word if word != "400" else "1" for word in arguments])
    assert fewer.returncode == 0, fewer.stderr
    assert stored(database) >= held


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_while_the_model_loads_ends_at_once(number: signal.Signals, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "esprobe", "sample-temp", *COMMON, "--db", str(tmp_path / "new.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "loading tiny" in process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"stopped by {number.name}" in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_before_anything_else_is_imported_ends_with_its_code(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """The entry point of the script itself, signalled as soon as it runs: typer is not even imported yet."""
    started = (
        "import os, sys; from esprobe.__main__ import main; assert 'typer' not in sys.modules\n"
        f"sys.argv = ['esprobe', 'sample-temp', '--db', {str(tmp_path / 'new.db')!r}]\n"
        "class Struck:\n"
        f"    def find_spec(self, name, *rest): os.kill(os.getpid(), {int(number)}) if name == 'typer' else None\n"
        "sys.meta_path.insert(0, Struck()); main()"
    )
    done = subprocess.run([sys.executable, "-c", started], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert f"stopped by {number.name}" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nobody_listening_does_not_end_a_run(tmp_path: Path, script: Path) -> None:
    arguments = ["sample-temp", "--engine", "scripted", "--model", str(script), "--problems", "200:300"]
    command = [
        sys.executable,
        "-m",
        "esprobe",
        *arguments,
        "--samples",
        "40",
        "-t",
        "1",
        "--db",
        str(tmp_path / "a.db"),
    ]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=full, timeout=120, check=False)
    assert done.returncode == 0
    assert stored(tmp_path / "a.db") == 4100


def test_a_reader_of_messages_that_goes_away_ends_no_run(tmp_path: Path) -> None:
    """As with ``2>&1 | tee log`` when the tee dies."""
    database = tmp_path / "a.db"
    command = [sys.executable, "-m", "esprobe", *ARMS["token space"], *COMMON, "--db", str(database)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        assert process.wait(timeout=120) == 0
    assert stored(database) == 16 * (1 + 2 * 16)


@pytest.mark.slow
def test_a_lock_held_by_another_program_is_waited_for(tmp_path: Path) -> None:
    database = tmp_path / "locked.db"
    command = [sys.executable, "-m", "esprobe", *ARMS["token space"], *COMMON, "--db", str(database)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while stored(database) < 16:
            time.sleep(0.05)
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(12)  # longer than one busy timeout
        other.execute("ROLLBACK")
        other.close()
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "waiting: another program has locked" in err
    assert stored(database) == 16 + 2 * 16 * 16


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_who_stops_a_run_does_not_wait_for_another_program(tmp_path: Path, number: signal.Signals, code: int) -> None:
    database = tmp_path / "locked.db"
    command = [sys.executable, "-m", "esprobe", *ARMS["token space"], *COMMON, "--db", str(database)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while stored(database) < 16:
            time.sleep(0.05)
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        other.execute("ROLLBACK")
        other.close()
    assert process.returncode == code, err
    assert "held a lock on" in err and "could not be stored" in err and "Traceback" not in err
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert stored(database) == 16 + 2 * 16 * 16


@pytest.mark.slow
def test_other_versions_are_told_where_one_condition_would_mix_them(tmp_path: Path, script: Path) -> None:
    data, one, two = write_data(tmp_path / "data.json", 4), tmp_path / "one.db", tmp_path / "two.db"
    common = ["--engine", "scripted", "--model", script, "--data", data, "-t", "1", "--samples", "4"]
    assert invoke("sample-temp", *common, "--problems", "0:2", "--db", one).code == 0
    assert "several versions" not in invoke("sample-temp", *common, "--problems", "0:2", "--db", one).stderr
    assert "several versions" not in invoke("sample-temp", *common, "--problems", "0:3", "--db", one).stderr
    with closing(sqlite3.connect(one)) as connection, connection:
        connection.execute("UPDATE session SET versions = json_set(versions, '$.numpy', '1.0', '$.python', '3.0')")
    more = invoke("sample-temp", *common, "--problems", "0:4", "--db", one)
    (warning,) = [line for line in more.stderr.splitlines() if "several versions" in line]
    assert f"(numpy 1.0 and {version('numpy')})" in warning
    invoke("sample-temp", *common, "--problems", "0:4", "--db", two)
    merged = invoke("merge", two, "--into", tmp_path / "c.db")
    assert "several versions" not in merged.stderr
    merged = invoke("merge", one, "--into", tmp_path / "c.db")
    assert merged.code == 0 and merged.stderr.count("several versions") == 2, merged.stderr  # greedy and T=1


def test_growing_samples_only_adds(esprobe: Run, tmp_path: Path) -> None:
    grown, at_once = tmp_path / "grown.db", tmp_path / "at_once.db"
    arm = ["sample-perturb", "--sigma", "0.01", *COMMON]
    assert esprobe(*arm, "--samples", "3", "--db", grown).returncode == 0
    before = rows(grown)
    assert esprobe(*arm, "--samples", "6", "--db", grown).returncode == 0
    assert set(before) < set(rows(grown))
    assert esprobe(*arm, "--samples", "6", "--db", at_once).returncode == 0
    assert rows(grown) == rows(at_once)
