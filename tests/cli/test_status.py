"""``status`` says how far a database is, from counts that are right whatever was asked for in how many sessions."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from esprobe.records import Extent
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.store.status import condition_statuses, total_eta_s
from esprobe.tables import folded
from tests.conftest import Run
from tests.sampling.material import invoke, query, write_data, write_script
from tests.store.material import NOISY, WARM, child, fill, hear, problems, rollout, shell


def status(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke("status", "--db", path, "--format", "json").stdout)
    return found


def began(minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


def test_a_partial_run_is_told_in_rollouts_problems_rate_and_time(tmp_path: Path) -> None:
    path = fill(tmp_path / "e.db", rollouts=35)  # of 40: five problems lack their last seed
    shell(path, f"UPDATE session SET started_utc = '{began(1)}', updated_utc = '{began(0)}'")
    found = status(path)
    (warm,) = found["conditions"]
    assert (warm["label"], warm["rollouts"], warm["planned"], warm["missing"]) == ("T=0.8", 35, 40, 5)
    assert (warm["problems"], warm["incomplete_problems"], warm["tokens"]) == (10, 5, 105)
    assert warm["rollouts_per_s"] == pytest.approx(35 / 60, rel=0.05)
    assert found["eta_s"] == pytest.approx(5 * 60 / 35, rel=0.05)
    assert (found["missing"], found["bytes"]) == (5, path.stat().st_size)
    shown = invoke("status", "--db", path).stdout
    assert "35      40       87.5 %" in shown and "5 of 10 problems" in shown
    assert "5 missing, ETA 0:00:09" in shown and "last session: 1, done, 35 rollouts" in shown


def test_conditions_of_one_label_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with RolloutWriter.open(path) as writer:
        ids = writer.register_problems("countdown", "t", problems(0))
        for condition in (WARM, replace(WARM, engine="vllm")):
            known = writer.register_condition(condition)
            session = writer.begin_session("esprobe sample-temp", "s", {known: Extent(0, 1, 42, 1, 1)}, {}, {}, {})
            writer.add(session, [rollout(known, ids[0], 42)], {})
    assert [one["label"] for one in status(path)["conditions"]] == ["T=0.8", "T=0.8"]
    shown = invoke("status", "--db", path).stdout
    assert f"T=0.8 (engine={WARM.engine})" in shown and "T=0.8 (engine=vllm)" in shown


def test_extents_of_several_sessions_are_one_plan(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with RolloutWriter.open(path) as writer:
        warm = writer.register_condition(WARM)
        ids = writer.register_problems("countdown", "t", problems(*range(10)))
        for extent in (Extent(0, 10, 42, 4, 10), Extent(0, 4, 42, 8, 4), Extent(6, 10, 100, 1, 4)):
            session = writer.begin_session("esprobe sample-temp", "s", {warm: extent}, {}, {}, {})
        stored = [(index, seed) for index in range(10) for seed in range(42, 46)] + [(1, 46), (2, 100), (7, 100)]
        stored.remove((9, 45))
        writer.add(
            session, [rollout(warm, ids[index], seed) for index, seed in stored if (index, seed) != (2, 100)], {}
        )
    with RolloutStore.open(path) as store:
        (found,) = condition_statuses(store)
    planned = {(i, s) for i in range(10) for s in range(42, 46)} | {(i, s) for i in range(4) for s in range(46, 50)}
    planned |= {(i, 100) for i in range(6, 10)}
    assert (found.planned, found.planned_problems) == (len(planned), 10)
    assert found.missing == len(planned - set(stored))
    assert found.incomplete_problems == len({index for index, _ in planned - set(stored)})


def test_conditions_of_one_session_share_its_time(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with RolloutWriter.open(path) as writer:
        both = [writer.register_condition(WARM), writer.register_condition(NOISY)]
        ids = writer.register_problems("countdown", "t", problems(*range(10)))
        session = writer.begin_session("c", "s", dict.fromkeys(both, Extent(0, 10, 42, 4, 10)), {}, {}, {})
        writer.add(session, [rollout(condition, ids[index], 42) for condition in both for index in range(10)], {})
    shell(path, f"UPDATE session SET started_utc = '{began(1)}', updated_utc = '{began(0)}'")
    with RolloutStore.open(path) as store:
        statuses = condition_statuses(store)
    assert [status.eta_s for status in statuses] == pytest.approx([180, 180], rel=0.05)
    assert total_eta_s(statuses) == pytest.approx(180, rel=0.05)  # they advance together


def test_a_run_of_less_than_a_second_has_a_rate_too(tmp_path: Path) -> None:
    path = fill(tmp_path / "e.db", rollouts=35)
    (stamps,) = query(path, "SELECT started_utc, updated_utc FROM session")
    started, committed = map(datetime.fromisoformat, stamps)
    (warm,) = status(path)["conditions"]
    assert warm["rollouts_per_s"] == pytest.approx(35 / (committed - started).total_seconds())
    assert started < committed < started + timedelta(seconds=30)


def test_nothing_stored_has_no_rate(tmp_path: Path) -> None:
    path = fill(tmp_path / "e.db", rollouts=0)
    found = status(path)
    assert (found["missing"], found["eta_s"], found["conditions"][0]["incomplete_problems"]) == (40, None, 10)
    assert "ETA not known" in invoke("status", "--db", path).stdout


def test_a_run_that_failed_at_once_is_not_called_complete(tmp_path: Path) -> None:
    db = tmp_path / "e.db"
    arm = ["sample-temp", "--model", "tiny", "-t", "0.8", "--samples", "1", "--problems", "200:203"]
    assert invoke(*arm, "--max-tokens", "100000", "--db", db).code == 1  # more than the model has positions for
    told = invoke("status", "--db", db)
    assert "0 rollouts in " in told.stdout and "nothing is planned" in told.stdout and "failed" in told.stdout
    assert "everything planned" not in told.stdout
    watched = invoke("status", "--db", db, "--watch")
    assert watched.code == 1 and "there is nothing to wait for" in watched.stderr


def test_watching_waits_for_a_run_that_has_planned_nothing_yet(tmp_path: Path) -> None:
    """A model takes minutes to load; meanwhile there is a file with a writer and nothing in it."""
    path = tmp_path / "e.db"
    command = [sys.executable, "-m", "esprobe", "status", "--db", str(path), "--watch", "--every", "0.1"]
    with RolloutWriter.open(path) as writer:
        assert status(path)["writer"].startswith(f"process {os.getpid()} on {socket.gethostname()}")
        wide = os.environ | {"COLUMNS": "1000"}  # a line for the sentence, however long the path
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=wide) as process:
            assert process.stdout is not None
            first = "".join(process.stdout.readline() for _ in range(3))
            assert f"nothing is planned yet; process {os.getpid()}" in first and "may be starting" in first
            ids = writer.register_problems("countdown", "t", problems(*range(10)))
            warm = writer.register_condition(WARM)
            session = writer.begin_session("esprobe sample-temp", "s", {warm: Extent(0, 10, 42, 1, 10)}, {}, {}, {})
            writer.add(session, [rollout(warm, ids[index], 42) for index in range(10)], {})
            assert "everything planned is stored" in process.stdout.read()
        assert process.returncode == 0
    assert status(path)["writer"] is None


def test_a_killed_writer_is_no_writer(tmp_path: Path) -> None:
    path = fill(tmp_path / "e.db", rollouts=10)
    opened = f"from esprobe.store import RolloutWriter\nwriter = RolloutWriter.open({str(path)!r})"
    with child(f"{opened}\nprint('up', flush=True); input()") as process:
        assert hear(process) == "up"
        assert str(process.pid) in status(path)["writer"]
        process.kill()
        process.wait()
        assert status(path)["writer"] is None


@pytest.mark.parametrize("state", ["running", "killed", "running or killed"])
def test_a_session_that_did_not_say_how_it_ended(tmp_path: Path, state: str) -> None:
    path = fill(tmp_path / "e.db", rollouts=10)
    with child("print('up', flush=True); input()") as process:
        assert hear(process) == "up"
        host = "elsewhere" if state == "running or killed" else socket.gethostname()
        change = "UPDATE session SET outcome = NULL, ended_utc = NULL, host = '{}', pid = {}"
        shell(path, change.format(host, process.pid))
        if state == "killed":
            process.kill()
            process.wait()
        assert status(path)["session"]["state"] == state


def test_watching_ends_when_everything_is_stored(tmp_path: Path) -> None:
    path = fill(tmp_path / "e.db", rollouts=30)
    command = [sys.executable, "-m", "esprobe", "status", "--db", str(path), "--watch", "--every", "0.1"]
    command += ["--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["missing"] == 10
        with RolloutWriter.open(path) as writer:
            writer.add(1, [rollout(1, index, 45) for index in range(1, 11)], {})
        last = [json.loads(line)["missing"] for line in process.stdout][-1]
    assert (process.returncode, last) == (0, 0)


@pytest.mark.slow
def test_readers_work_while_one_samples(esprobe: Run, process: Run, tmp_path: Path) -> None:
    database, data = tmp_path / "e.db", write_data(tmp_path / "data.json", 300)
    script = write_script(tmp_path / "script.json", "some words", " </think>\n<answer> 1 + 2 </answer>")
    words = ["sample-temp", "--engine", "scripted", "--model", script, "--data", data, "--problems", "0:300"]
    words += ["-t", "1", "--samples", 3000, "--db", database]
    with subprocess.Popen([sys.executable, "-m", "esprobe", *map(str, words)], stderr=subprocess.DEVNULL) as sampler:
        try:
            while not database.exists() or invoke("status", "--db", database).code:
                assert sampler.poll() is None
            second = process(*words)
            assert second.returncode == 1
            assert f"process {sampler.pid} on {socket.gethostname()}" in second.stderr
            assert query(database, "SELECT count(*) > 0 FROM rollout") == [(1,)]
            for reading in (["status"], ["passk"], ["export", "--condition", "1", "-o", "x.jsonl"]):
                done = esprobe(*reading, "--db", database)
                assert done.returncode == 0, done.stderr
            copied = esprobe("backup", tmp_path / "copy.db", "--db", database)
            assert copied.returncode == 0, copied.stderr
            assert status(database)["session"]["state"] == "running"
            assert sampler.poll() is None, "it was done too soon to prove anything"
        finally:
            os.kill(sampler.pid, signal.SIGTERM)
    assert sampler.returncode == 75
    assert 0 < status(tmp_path / "copy.db")["rollouts"] < status(database)["rollouts"]
    assert esprobe("verify", "--db", tmp_path / "copy.db").returncode == 0


@pytest.mark.parametrize("columns", [20, 40, 79])
def test_a_narrow_terminal_gets_a_list_with_the_same_values(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fill(tmp_path / f"{'long-name' * 6} of a database.db", rollouts=35)
    wide = invoke("status", "--db", path).stdout
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = invoke("status", "--db", path).stdout
    assert max(map(cell_len, narrow.splitlines())) <= columns
    assert "stored: 35\nplanned: 40\ndone: 87.5 %" in narrow
    squeezed = "".join(narrow.split())
    for line in wide.splitlines()[-2:]:
        assert "".join(line.split()) in squeezed


def test_a_terminal_as_wide_as_the_table_gets_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fill(tmp_path / "e.db", rollouts=35)
    wide = invoke("status", "--db", path).stdout.splitlines()
    table = wide[: wide.index("")]
    width = max(map(len, table))
    monkeypatch.setenv("COLUMNS", str(width))
    assert invoke("status", "--db", path).stdout.splitlines()[: len(table)] == table
    monkeypatch.setenv("COLUMNS", str(width - 1))
    assert invoke("status", "--db", path).stdout.startswith("id: 1\ncondition: T=0.8\n")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("as it is", ["as it is"]),
        ("two words more", ["two words", "  more"]),
        ("abcdefghijklmnopqrst", ["abcdefgh", "  ijklmnop", "  qrst"]),
        ("a abcdefghijklm", ["a", "  abcdefgh", "  ijklm"]),
        ("\u6f22" * 7, ["\u6f22" * 4, "  " + "\u6f22" * 3]),
    ],
)
def test_folding(text: str, lines: list[str]) -> None:
    assert folded(text, 10, "  ") == lines
