"""A sound database from a damaged one: whole rollouts are kept, the rest can be sampled again."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from esprobe.store import RolloutStore
from tests.conftest import Run, run_process
from tests.sampling.kills import hear_hangups, running, stored
from tests.sampling.material import ANSWER, invoke, query, rows, write_data, write_script
from tests.store.material import shell

PROBLEMS = 60


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both arms, with texts short and longer than a page, closed."""
    folder = tmp_path_factory.mktemp("sound")
    write_data(folder / "data.json", PROBLEMS)
    write_script(folder / "script.json", ANSWER, " 3", " so many words" * 8, "long \u2713 " * 6000)
    for arm in ARMS:
        assert invoke(*arm, *sampling(folder), "--db", folder / "sound.db").code == 0
    return folder / "sound.db"


ARMS: list[list[object]] = [["sample-temp", "-t", 1], ["sample-perturb", "--sigma", 0.01]]


def sampling(folder: Path) -> list[object]:
    words = ["--engine", "scripted", "--model", folder / "script.json", "--data", folder / "data.json"]
    return [*words, "--problems", f"0:{PROBLEMS}", "--max-tokens", 12, "--samples", 50]


def pages(path: Path, *tables: str) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, pageno FROM dbstat").fetchall()
    return [page for name, page in found if not tables or name in tables]


def overwrite(path: Path, numbers: Iterable[int], content: bytes | None = None) -> None:
    ((size,),) = query(path, "PRAGMA page_size")
    assert isinstance(size, int)
    with path.open("r+b") as file:
        for number in numbers:
            file.seek((number - 1) * size)
            file.write((content or os.urandom(size))[:size].ljust(size, b"\0"))


def salvaged(path: Path, into: Path) -> tuple[str, str]:
    done = invoke("salvage", path, "--into", into)
    assert done.code == 0, done.stderr
    verified = invoke("verify", "--all", "--db", into)
    assert verified.code == 0, verified.stdout
    return done.stdout, done.stderr


def test_a_sound_file_comes_out_as_it_is(sound: Path, tmp_path: Path) -> None:
    out, err = salvaged(sound, tmp_path / "new.db")
    assert rows(tmp_path / "new.db") == rows(sound)
    assert out.count("yes") == 3 and err == ""
    with RolloutStore.open(sound) as old, RolloutStore.open(tmp_path / "new.db") as new:
        assert new.conditions() == old.conditions()
        assert [session.command for session in new.sessions()][:2] == [session.command for session in old.sessions()]
        assert [new.totals(stored.id) for stored in new.conditions()] == [old.totals(s.id) for s in old.conditions()]


@pytest.mark.parametrize("seed", range(4))
def test_what_lies_on_whole_pages_is_kept_and_the_rest_is_owed(sound: Path, tmp_path: Path, seed: int) -> None:
    path, new = tmp_path / "x.db", tmp_path / "new.db"
    shutil.copy(sound, path)
    candidates = sorted(set(pages(path, "rollout", "completion")))
    broken = random.Random(seed).sample(candidates, min(12, len(candidates) // 4))
    on_broken = lost_with(path, set(broken))
    overwrite(path, broken)
    salvaged(path, new)
    kept = rows(new)
    assert set(kept) <= set(rows(sound))
    assert len(kept) >= len(rows(sound)) - on_broken
    for arm in ARMS:
        assert invoke(*arm, *sampling(sound.parent), "--db", new).code == 0
    assert rows(new) == rows(sound)


@pytest.mark.parametrize("broken", [0, 2])
@pytest.mark.parametrize(
    "change",
    [
        ("DROP TRIGGER rollout_changed", "UPDATE rollout SET token_count = 99999 WHERE completion_id = 30"),
        ("UPDATE totals SET tokens = tokens + 99999 WHERE condition_id = 2",),
    ],
    ids=["a count", "the sum"],
)
def test_changed_tokens_are_told(sound: Path, tmp_path: Path, change: tuple[str, ...], broken: int) -> None:
    path = Path(shutil.copy(sound, tmp_path / "x.db"))
    shell(path, *change)
    overwrite(path, pages(path, "completion")[-1 : -1 - broken : -1])
    _, err = salvaged(path, tmp_path / "new.db")
    assert err.count("do not trust the token figures") == 1
    before, quiet = Path(shutil.copy(sound, tmp_path / "y.db")), tmp_path / "quiet.db"
    overwrite(before, pages(before, "completion")[-1 : -1 - broken : -1])
    assert "token" not in salvaged(before, quiet)[1]


def lost_with(path: Path, broken: set[int]) -> int:
    """Rollouts whose row or text lies on one of the pages: counted by taking each page away from a sound copy."""
    from esprobe.store.pages import Pages

    with Pages(path, use_log=False) as reader:
        whole = {row.values[10]: row for n in pages(path, "rollout") if n not in broken for row in reader.rows(n)}
        usable = reader.size - 4
        lost_texts = set()
        for number in pages(path, "completion"):
            for row in reader.rows(number):
                assert row.rowid is not None
                length = len(str(row.values[1]).encode())
                # Long texts run over pages that this test does not follow: all of them count as lost.
                if number in broken or length > usable:
                    lost_texts.add(row.rowid)
    total = len(rows(path))
    return total - len(whole.keys() - lost_texts)


@pytest.mark.parametrize("table", ["sqlite_schema", "session", "scorer", "work", "totals", "migration"])
def test_tables_that_can_be_done_without(sound: Path, tmp_path: Path, table: str) -> None:
    path, new = tmp_path / "x.db", tmp_path / "new.db"
    shutil.copy(sound, path)
    overwrite(path, pages(path, table))
    salvaged(path, new)
    assert {row[:4] for row in rows(new)} == {row[:4] for row in rows(sound)}


def test_lost_conditions_and_problems_are_named(sound: Path, tmp_path: Path) -> None:
    path, new = tmp_path / "x.db", tmp_path / "new.db"
    shutil.copy(sound, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE condition SET identity = replace(identity, '0.01', '0.02') WHERE sigma = 0.01")
        connection.execute("UPDATE problem SET inputs = replace(inputs, '98', '97') WHERE problem_index = 7")
        connection.commit()
    _, err = salvaged(path, new)
    assert "of lost conditions: its condition is lost" in err
    assert "of T=1: its problem is lost" in err
    with RolloutStore.open(new) as store:
        assert [stored.condition.label for stored in store.conditions()] == ["greedy", "T=1"]


def flip(path: Path, change: str) -> None:
    """A change beneath SQL: no trigger counts it."""
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(change)
        connection.commit()


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ("UPDATE completion SET text = 'other' WHERE id = 50", 1),
        ("UPDATE rollout SET completion_id = 51 WHERE completion_id = 50", 2),
        ("DELETE FROM completion WHERE id = 50", 1),
        ("UPDATE rollout SET correct = 1 - correct WHERE completion_id = 50", 0),
    ],
    ids=["a text", "whose text it is", "a missing text", "a verdict"],
)
def test_single_changes(sound: Path, tmp_path: Path, change: str, lost: int) -> None:
    path, new = tmp_path / "x.db", tmp_path / "new.db"
    shutil.copy(sound, path)
    flip(path, change)
    salvaged(path, new)
    assert set(rows(new)) <= set(rows(sound))
    assert len(rows(new)) == len(rows(sound)) - lost


def test_a_file_that_was_cut_off(sound: Path, tmp_path: Path) -> None:
    path, new = tmp_path / "x.db", tmp_path / "new.db"
    shutil.copy(sound, path)
    os.truncate(path, path.stat().st_size * 9 // 10 + 5)
    salvaged(path, new)
    assert 0 < len(rows(new)) < len(rows(sound)) and set(rows(new)) <= set(rows(sound))


def test_a_log_beside_it_is_read_if_it_is_its_own(sound: Path, tmp_path: Path) -> None:
    path, new = tmp_path / "x.db", tmp_path / "new.db"
    shutil.copy(sound, path)
    with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(path)) as other:
        connection.execute("UPDATE session SET host = 'changed'")
        connection.commit()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{tmp_path / 'y.db'}{suffix}")
        assert other.execute("SELECT host FROM session").fetchone() == ("changed",)
    salvaged(tmp_path / "y.db", new)
    assert ("changed",) in query(new, "SELECT host FROM session")
    shutil.copy(sound.with_name("script.json"), tmp_path / "z.db-wal")  # what is no log is no matter
    shutil.copy(sound, tmp_path / "z.db")
    salvaged(tmp_path / "z.db", tmp_path / "new2.db")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"no database" * 1000, "holds a whole condition"), (None, "no database at")],
)
def test_nothing_to_salvage(tmp_path: Path, esprobe: Run, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "x.db").write_bytes(content)
    done = esprobe("salvage", "x.db", "--into", "new.db")
    assert done.returncode == 1 and said in done.stderr
    assert not (tmp_path / "new.db").exists()


def test_an_existing_target_is_refused(sound: Path, tmp_path: Path, esprobe: Run) -> None:
    (tmp_path / "new.db").write_text("mine")
    done = esprobe("salvage", sound, "--into", "new.db")
    assert done.returncode == 2 and "new.db exists" in done.stderr
    assert (tmp_path / "new.db").read_text() == "mine"


def test_damage_names_the_command(sound: Path, tmp_path: Path, esprobe: Run) -> None:
    shutil.copy(sound, tmp_path / "x.db")
    overwrite(tmp_path / "x.db", pages(tmp_path / "x.db", "rollout")[3:4], b"\0")
    done = esprobe("passk", "--db", "x.db")
    assert done.returncode == 1 and "esprobe salvage x.db --into" in done.stderr


@pytest.mark.slow
def test_a_killed_run_on_a_real_model_is_salvaged_and_goes_on(tmp_path: Path) -> None:
    db, new, undisturbed = tmp_path / "x.db", tmp_path / "new.db", tmp_path / "undisturbed.db"
    command: list[object] = ["sample-perturb", "--model", "tiny", "--sigma", "0.005", "--max-tokens", "24"]
    command += ["--problems", "200:232", "--samples", "12", "--batch-size", "16"]
    with running(command, db, 200) as process:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with RolloutStore.open(db):
        pass  # folds the log in
    held = stored(db)
    ((size,),) = query(db, "PRAGMA page_size")
    assert isinstance(size, int)
    ends = [max(pages(db, table)) * size - 1000 for table in ("rollout", "completion")]
    with db.open("r+b") as file:
        for position in ends:  # the end of a page, where its first cells are
            file.seek(position)
            file.write(os.urandom(1000))
    refused = run_process(tmp_path, *command, "--db", db)
    assert refused.returncode == 1 and "salvage" in refused.stderr, refused.stderr
    assert run_process(tmp_path, "salvage", db, "--into", new).returncode == 0
    assert 0 < stored(new) < held
    started = time.monotonic()
    done = run_process(tmp_path, *command, "--db", new)
    assert done.returncode == 0, (done.stderr, time.monotonic() - started)
    assert run_process(tmp_path, *command, "--db", undisturbed).returncode == 0
    assert rows(new) == rows(undisturbed)


def test_a_salvage_that_is_killed_leaves_nothing_at_the_name(sound: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "esprobe", "salvage", str(sound), "--into", str(tmp_path / "new.db")]
    for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)):
        with subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=hear_hangups
        ) as process:
            until = time.monotonic() + 60
            while not list(tmp_path.glob(".esprobe-*.part-wal")) and process.poll() is None:
                assert time.monotonic() < until
                time.sleep(0.005)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert not (tmp_path / "new.db").exists()
        if number != signal.SIGKILL:
            assert f"stopped by {number.name}" in err
            assert not list(tmp_path.glob(".esprobe-*"))
    salvaged(sound, tmp_path / "new.db")
    assert rows(tmp_path / "new.db") == rows(sound)


def test_a_target_folder_that_vanishes_is_what_is_told(tmp_path: Path) -> None:
    script, data = write_script(tmp_path / "s.json", "long " * 200), write_data(tmp_path / "d.json", PROBLEMS)
    words = ["--engine", "scripted", "--model", script, "--data", data, "--problems", f"0:{PROBLEMS}"]
    assert invoke("sample-temp", "-t", 1, *words, "--samples", 400, "--db", tmp_path / "x.db").code == 0
    folder = tmp_path / "folder"
    folder.mkdir()
    command = [sys.executable, "-m", "esprobe", "salvage", tmp_path / "x.db", "--into", folder / "s.db"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not any(path.stat().st_size > 100_000 for path in folder.glob("*-wal")) and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.005)
        while folder.exists():  # the command may make a file in it meanwhile
            shutil.rmtree(folder, ignore_errors=True)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert f"cannot be written to {folder / 's.db'} (it was deleted)" in err and ".part" not in err
    assert not list(tmp_path.glob(".esprobe-*"))
