"""Taking conditions out: nothing of them stays, nothing else changes, and they can be drawn again."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Run

SAMPLE = ("sample-temp", "--engine", "scripted", "--problems", "200:204", "--samples", "4")


@pytest.fixture
def filled(esprobe: Run, script: Path, tmp_path: Path) -> Path:
    assert esprobe(*SAMPLE, "--model", script, "-t", "0.8", "-t", "1", "--name", "base").returncode == 0
    (tmp_path / "other.json").write_text(json.dumps({"*": ["no"]}))
    assert esprobe(*SAMPLE, "--model", "other.json", "-t", "1").returncode == 0
    return tmp_path / "esprobe.db"


def exported(esprobe: Run, *words: object) -> list[str]:
    done = esprobe("export", *words)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def test_without_write_nothing_changes(esprobe: Run, filled: Path) -> None:
    before = filled.read_bytes()
    done = esprobe("remove", "--condition", "T=0.8")
    assert (done.returncode, done.stdout) == (0, "2 (T=0.8, base): 16 rollouts\n")
    assert done.stderr == (
        "nothing was removed; to remove them for good: esprobe remove --db esprobe.db --condition T=0.8 --write\n"
    )
    assert filled.read_bytes() == before


def test_a_condition_goes_and_all_others_stay(esprobe: Run, filled: Path) -> None:
    kept = exported(esprobe, "--condition", "T=1", "--condition", "greedy")
    done = esprobe("remove", "--condition", "T=0.8", "--write")
    assert done.returncode == 0 and "16 rollouts" in done.stdout, done.stderr
    assert exported(esprobe) == kept
    checked = esprobe("verify", "--format", "json")
    assert checked.returncode == 0, checked.stdout
    with sqlite3.connect(filled) as connection:
        assert (
            connection.execute("SELECT sum(rollouts), sum(tokens) FROM session").fetchone()
            == connection.execute("SELECT count(*), sum(token_count) FROM rollout").fetchone()
        )
        assert connection.execute("SELECT count(*) FROM completion").fetchone() == (len(kept),)


def test_it_can_be_drawn_again(esprobe: Run, filled: Path, script: Path) -> None:
    before = exported(esprobe, "--condition", "2")
    assert esprobe("remove", "--condition", "2", "--write").returncode == 0
    again = esprobe(*SAMPLE, "--model", script, "-t", "0.8", "-t", "1")
    assert "(16 now)" in again.stdout
    after = exported(esprobe, "--condition", "T=0.8")
    assert [json.loads(row)["completion"] for row in after] == [json.loads(row)["completion"] for row in before]


def test_the_last_condition_takes_all_with_it(esprobe: Run, filled: Path) -> None:
    done = esprobe("remove", "--condition", "greedy", "--condition", "temperature", "--write")
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(filled) as connection:
        for table in (
            "condition",
            "rollout",
            "completion",
            "work",
            "session",
            "totals",
            "problem",
            "guessing",
            "model_name",
        ):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert esprobe("passk").returncode == 1


def test_the_population_of_a_training_run_stays(esprobe: Run, script: Path, tmp_path: Path) -> None:
    train = ("train-es", "--engine", "scripted", "--model", script, "--problems", "0:2", "--population", "2")
    assert esprobe(*train, "--iterations", "1", "--eval-every", "0").returncode == 0
    before = (tmp_path / "esprobe.db").read_bytes()
    refused = esprobe("remove", "--condition", "training", "--write")
    assert refused.returncode == 2 and "is the population of a training run" in refused.stderr
    assert (tmp_path / "esprobe.db").read_bytes() == before


def test_a_task_or_model_goes_as_a_whole(esprobe: Run, filled: Path) -> None:
    done = esprobe("remove", "--model", "other.json", "--write")
    assert done.returncode == 0, done.stderr
    assert {Path(json.loads(row)["model"]).name for row in exported(esprobe)} == {"script.json"}
    assert esprobe("remove", "--write").returncode == 2


def test_what_is_not_there_is_not_removed(esprobe: Run, filled: Path, tmp_path: Path) -> None:
    unknown = esprobe("remove", "--condition", "T=3", "--write")
    assert unknown.returncode == 2 and "it has: 1 (greedy, base)" in unknown.stderr
    assert esprobe("remove", "--db", "missing.db", "--condition", "T=3", "--write").returncode == 1
    assert not (tmp_path / "missing.db").exists()
