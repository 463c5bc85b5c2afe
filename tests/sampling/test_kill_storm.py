"""A storm of SIGKILLs at random moments, each followed by a resume: at the end exactly what was planned, to the byte.

A few kills in the ordinary run; two hundred with ``-m storm`` (``nox -s storm``), which also prints how long a resumed
run takes to its first new rollout. The work grows by ``--samples`` whenever it is done before the storm is over.
"""

import json
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import run_esprobe
from tests.sampling.material import rows, write_data

TEXTS = [f" {'so many words ' * (20 + i)}</think>\n<answer> {i} + 2 </answer>" for i in range(40)]


@dataclass(frozen=True)
class Storm:
    """One command under fire.

    Attributes:
        arm: the command and its conditions.
        engine: which engine draws.
        samples: first extent; it grows by this much.
        seed: of the random moments.
    """

    arm: tuple[str, ...]
    engine: str
    samples: int
    seed: int


STORMS = {
    "scripted, token space": Storm(("sample-temp", "-t", "0.8", "-t", "1"), "scripted", 64, 1),
    "scripted, weight space": Storm(("sample-perturb", "--sigma", "0.01"), "scripted", 64, 2),
    "tiny, token space": Storm(("sample-temp", "-t", "0.8", "-t", "1"), "transformers", 32, 3),
    "tiny, weight space": Storm(("sample-perturb", "--sigma", "0.005", "--sigma", "0.02"), "transformers", 16, 4),
}


def words(storm: Storm, folder: Path) -> list[str]:
    if storm.engine == "transformers":
        return [*storm.arm, "--model", "tiny", "--problems", "200:240", "--max-tokens", "32", "--batch-size", "16"]
    script, data = folder / "script.json", write_data(folder / "data.json", 500)
    script.write_text(json.dumps({"*": TEXTS}))
    return [*storm.arm, "--engine", "scripted", "--model", str(script), "--data", str(data), "--problems", "0:500"]


def stored(database: Path) -> int:
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            (found,) = connection.execute("SELECT coalesce(sum(rollouts), 0) FROM totals").fetchone()
        connection.close()
        return int(found)
    except sqlite3.OperationalError:
        return 0  # not made yet


def struck(command: list[str], database: Path, at_s: float | None) -> tuple[int, float | None]:
    """Run the command and kill it after ``at_s``, or at its first new rollout.

    Returns its exit code, and the seconds to its first new rollout if it got there.
    """
    before, first = stored(database), None
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            now = time.monotonic() - started
            if first is None and stored(database) > before:
                first = now
            if now >= at_s if at_s is not None else first is not None:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    return process.returncode, first


def survive(storm: Storm, kills: int, folder: Path) -> list[float]:
    """Kill and resume, then hold the database against one that was left in peace; seconds to first new rollouts.

    Kills come at any moment from the start to twice the time that a first rollout takes: while it imports, loads,
    plans, draws or commits. That time is followed, because a machine gets busy and idle.
    """
    rng, database = random.Random(storm.seed), folder / "struck.db"
    base, samples, firsts, done = words(storm, folder), storm.samples, list[float](), 0
    latest = 0.0
    while done < kills:
        command = [sys.executable, "-m", "esprobe", *base, "--samples", str(samples), "--db", str(database)]
        code, first = struck(command, database, rng.uniform(0, latest) if latest else None)
        firsts += [first] if first is not None else []
        latest = 1.1 * latest if first is None else 2 * first
        if code == 0:
            samples += storm.samples
        else:
            assert code == -signal.SIGKILL
            done += 1
    resumed = run_esprobe(folder, *base, "--samples", samples, "--db", database)
    assert resumed.returncode == 0, resumed.stderr
    peaceful = folder / "peaceful.db"
    assert run_esprobe(folder, *base, "--samples", samples, "--db", peaceful).returncode == 0
    assert rows(database) == rows(peaceful)
    assert stored(database) == len(rows(peaceful))
    verified = run_esprobe(folder, "verify", "--all", "--db", database)
    assert verified.returncode == 0, verified.stdout
    assert "nothing to do" in run_esprobe(folder, *base, "--samples", samples, "--db", database).stdout
    return firsts


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, storm in STORMS.items() if storm.engine == "scripted"])
def test_a_few_kills(name: str, tmp_path: Path) -> None:
    survive(STORMS[name], 5, tmp_path)


@pytest.mark.storm
@pytest.mark.parametrize("name", STORMS)
def test_two_hundred_kills(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kills = 60 if STORMS[name].engine == "scripted" else 40
    firsts = survive(STORMS[name], kills, tmp_path)
    with capsys.disabled():
        print(
            f"\n{name}: {kills} kills, {stored(tmp_path / 'struck.db'):,} rollouts; from start to first new rollout "
            f"{statistics.median(firsts):.2f} s (median of {len(firsts)}, longest {max(firsts):.2f} s)"
        )
