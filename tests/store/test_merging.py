"""Merging by what rollouts are: nothing twice, nothing lost, no contradiction let through, no input touched."""

import hashlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from esprobe.errors import RolloutConflictError, StoreError, UsageError
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.store.merging import merge
from tests.sampling.material import invoke, query, rows, write_data, write_script
from tests.store.material import NOISY, WARM, begin, child, fill, hear, problems, rollout, shell

DATA = Path(__file__).parent.parent / "data"


def shard(path: Path, *keys: tuple[int, int], condition: object = WARM, first: int = 0, text: str = "a text") -> Path:
    """A database whose ids are its own: problems are registered from ``first`` on."""
    with RolloutWriter.open(path) as writer:
        id_ = writer.register_condition(condition)  # type: ignore[arg-type]
        ids = writer.register_problems("countdown", "t", problems(*range(first, 10), *range(first)))
        session = begin(writer, id_)
        drawn = [
            rollout(id_, ids[index], seed, f"{text} {index} {seed}", correct=seed % 2 == 0) for index, seed in keys
        ]
        writer.add(session, drawn, {})
        writer.end_session(session, "done")
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_shards_become_what_one_run_would_have_drawn(tmp_path: Path) -> None:
    data, script = write_data(tmp_path / "data.json", 30), write_script(tmp_path / "s.json", "a", "b", "c d")
    common = ["--engine", "scripted", "--model", script, "--data", data, "--samples", 8]
    whole, low, high, into = (tmp_path / f"{name}.db" for name in ("whole", "low", "high", "into"))
    arms = (["sample-temp", "-t", 1], ["sample-perturb", "--sigma", 0.01])
    for path, slices in ((whole, ["0:30"]), (low, ["0:18"]), (high, ["10:30"])):
        for arm in arms if path != high else arms[::-1]:
            for part in slices:
                assert invoke(*arm, *common, "--problems", part, "--db", path).code == 0
    before = {path: digest(path) for path in (low, high)}
    done = invoke("merge", low, high, "--into", into)
    assert done.code == 0, done.stderr
    assert rows(into) == rows(whole)
    conditions = "SELECT kind, temperature, sigma, model, identity, digest FROM condition ORDER BY digest"
    assert query(into, conditions) == query(whole, conditions)
    assert {path: digest(path) for path in (low, high)} == before
    assert sorted(p.name for p in tmp_path.glob("*.db*") if "-" in p.name) == []
    # Every session and its costs came along, and every rollout still names the one that drew it.
    assert query(into, "SELECT count(*) FROM session") == [(4,)]
    held = query(into, "SELECT id, rollouts FROM session ORDER BY id")
    counted = query(into, "SELECT session_id, count(*) FROM rollout GROUP BY session_id ORDER BY 1")
    assert all(dict(counted).get(id_, 0) <= rollouts for id_, rollouts in held)  # type: ignore[operator, call-overload]
    for command in ("passk", "status", "report"):
        assert invoke(command, "--db", into).code == 0
    assert invoke("verify", "--all", "--db", into).code == 0


def test_again_changes_nothing(tmp_path: Path) -> None:
    a = shard(tmp_path / "a.db", *((i, s) for i in range(10) for s in range(42, 46)))
    b = shard(tmp_path / "b.db", *((i, s) for i in range(5) for s in range(44, 50)), first=5)
    into = tmp_path / "c.db"
    first = merge([a, b], into)
    assert [(done.copied, done.known) for done in first] == [(40, 0), (20, 10)]
    everything = "SELECT 'r', * FROM rollouts UNION ALL SELECT 's', id, rollouts, tokens, outcome, command, pid, host, "
    everything += "started_utc, updated_utc, ended_utc, engine, versions, hardware, scorer_id, 0, 0 FROM session"
    before = query(into, everything)
    for inputs in ([a, b], [b, a], [a, a, b]):
        assert all(done.copied == 0 for done in merge(inputs, into))
    assert query(into, everything) == before
    other_way = tmp_path / "d.db"
    merge([b, a], other_way)
    assert rows(other_way) == rows(into)


def test_merging_into_a_run_lets_it_go_on(tmp_path: Path) -> None:
    data, script = write_data(tmp_path / "data.json", 20), write_script(tmp_path / "s.json", "a", "b", "c d")
    words = ["sample-temp", "-t", 1, "--engine", "scripted", "--model", script, "--data", data, "--problems", "0:20"]
    part, into, whole = tmp_path / "part.db", tmp_path / "into.db", tmp_path / "whole.db"
    assert invoke(*words, "--samples", 3, "--db", part).code == 0
    merge([part], into)
    done = invoke(*words, "--samples", 6, "--db", into)
    assert "resuming: 80 of 140 stored" in done.stderr
    assert invoke(*words, "--samples", 6, "--db", whole).code == 0
    assert rows(into) == rows(whole)


@pytest.mark.parametrize("there", ["two inputs", "the output"])
def test_a_contradiction_is_refused_by_name_and_nothing_is_written(tmp_path: Path, there: str) -> None:
    a, b = shard(tmp_path / "a.db", (3, 42), (4, 43)), shard(tmp_path / "b.db", (4, 43), (5, 44), text="another")
    into = tmp_path / "c.db"
    inputs = [a, b]
    if there == "the output":
        merge([b], into)
        inputs = [a]
    before = rows(into) if into.exists() else None
    with pytest.raises(RolloutConflictError, match=r"problem 4, seed 43 of T=0.8 is in .* with another completion"):
        merge(inputs, into)
    assert (rows(into) if into.exists() else None) == before
    done = invoke("merge", *inputs, "--into", into)
    assert (done.code, done.stdout) == (1, "")


def test_other_verdicts_contradict_too_and_point_to_rescore(tmp_path: Path) -> None:
    a = shard(tmp_path / "a.db", (3, 42))
    b = Path(shutil.copy(a, tmp_path / "b.db"))
    shell(b, "UPDATE rollout SET reward = 0.5, correct = 0, failure = 'value'")
    with pytest.raises(RolloutConflictError, match=r"another reward, correct, failure.*esprobe rescore"):
        merge([a, b], tmp_path / "c.db")


def test_other_conditions_of_one_label_stay_apart(tmp_path: Path) -> None:
    from dataclasses import replace

    a = shard(tmp_path / "a.db", (3, 42))
    b = shard(tmp_path / "b.db", (3, 42), condition=replace(WARM, model_fingerprint="0" * 64), text="another")
    c = shard(tmp_path / "c.db", (3, 42), condition=NOISY)
    merge([a, b, c], tmp_path / "d.db")
    assert query(tmp_path / "d.db", "SELECT count(DISTINCT condition_id), count(*) FROM rollout") == [(3, 3)]


def test_an_input_with_the_log_of_a_kill_is_read_whole_and_left_as_it_is(tmp_path: Path) -> None:
    code = (
        "import sys; from tests.store.material import *; from esprobe.store import RolloutWriter\n"
        "w = RolloutWriter.open(sys.argv[1]); c = w.register_condition(WARM)\n"
        "ids = w.register_problems('countdown', 't', problems(*range(10))); s = begin(w, c)\n"
        "w.add(s, [rollout(c, ids[i], 42) for i in range(10)], {}); print('up', flush=True); input()"
    )
    path = tmp_path / "killed.db"
    with child(code, path) as process:
        assert hear(process) == "up"
        process.send_signal(signal.SIGKILL)
        process.wait()
    wal = Path(f"{path}-wal")
    before = digest(path), digest(wal)
    merge([path], tmp_path / "c.db")
    assert (digest(path), digest(wal)) == before
    with RolloutStore.open(tmp_path / "c.db") as store:
        assert store.totals(1).rollouts == 10


def test_a_file_of_an_older_schema_can_be_merged(tmp_path: Path) -> None:
    old = Path(shutil.copy(DATA / "schema-m001.db", tmp_path / "old.db"))
    new = Path(shutil.copy(DATA / "schema-m002.db", tmp_path / "new.db"))
    before = digest(old)
    merge([old, new], tmp_path / "c.db")
    assert rows(tmp_path / "c.db") == rows(old) == rows(new)
    assert digest(old) == before


def test_a_damaged_input_is_refused(tmp_path: Path) -> None:
    a = shard(tmp_path / "a.db", (3, 42), (4, 42))
    shell(a, "DROP TRIGGER rollout_changed", "UPDATE rollout SET correct = 1 - correct WHERE problem_id = 4")
    with pytest.raises(StoreError, match=r"a\.db is damaged"):
        merge([a], tmp_path / "c.db")
    b = shard(tmp_path / "b.db", (3, 42))
    shell(b, "UPDATE completion SET text = 'b text 3 42'")
    with pytest.raises(StoreError, match=r"b\.db is damaged .*the text of problem 3, seed 42"):
        merge([b], tmp_path / "d.db")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE rollout SET session_id = 9 WHERE seed = 44", "1 rows of rollout refer to a session"),
        ("DELETE FROM session", "1 rows of work refer to a session"),
        ("DELETE FROM condition", "1 rows of work refer to a condition"),
        ("DELETE FROM scorer", "1 rows of session refer to a scorer"),
        ("UPDATE rollout SET problem_id = 99 WHERE seed = 44", "1 rows of rollout refer to a problem"),
    ],
)
def test_an_input_that_has_lost_what_its_rows_name_is_refused(tmp_path: Path, statement: str, named: str) -> None:
    a, sound = shard(tmp_path / "a.db", (3, 42), (4, 44)), shard(tmp_path / "b.db", (5, 42))
    shell(a, "PRAGMA foreign_keys = OFF", statement)
    into = tmp_path / "c.db"
    done = invoke("merge", sound, a, "--into", into)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"a.db is damaged ({named} that does not exist)" in done.stderr
    assert not into.exists()


def test_inputs_and_output_must_be_what_they_are_called(tmp_path: Path) -> None:
    a = fill(tmp_path / "a.db")
    with pytest.raises(UsageError, match="is one of the inputs"):
        merge([a], tmp_path / "." / "a.db")
    with pytest.raises(StoreError, match=r"there is no database at .*none.db.*check the name") as caught:
        merge([a, tmp_path / "none.db"], tmp_path / "c.db")
    assert "--db" not in str(caught.value)  # which merge does not have
    assert not (tmp_path / "c.db").exists()
    with pytest.raises(StoreError, match="File name too long"):
        merge([a], tmp_path / ("x" * 300))


@pytest.mark.slow
def test_a_killed_merge_goes_on(tmp_path: Path) -> None:
    a, into = tmp_path / "a.db", tmp_path / "c.db"
    data, script = write_data(tmp_path / "data.json", 200), write_script(tmp_path / "s.json", "a " * 200, "b " * 200)
    words = ["sample-temp", "-t", 1, "--engine", "scripted", "--model", script, "--data", data, "--problems", "0:200"]
    assert invoke(*words, "--samples", 200, "--db", a).code == 0
    command = [sys.executable, "-m", "esprobe", "merge", str(a), "--into", str(into)]
    kills = 0
    while kills < 3:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and copied(into) < 8000 * (kills + 1):
                pass
            process.kill()
        kills += 1
    assert 0 < copied(into) < 40_200
    merge([a], into)
    assert rows(into) == rows(a)


def copied(path: Path) -> int:
    try:
        return int(str(query(path, "SELECT sum(rollouts) FROM totals")[0][0] or 0))
    except sqlite3.OperationalError:
        return 0
