"""A database that is deleted, moved or replaced while it is written to: noticed at the next commit, and saved."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from esprobe.errors import DatabaseLostError
from esprobe.store import RolloutStore, RolloutWriter
from tests.conftest import run_process
from tests.sampling.kills import stored
from tests.sampling.material import query, rows
from tests.store.material import NOISY, WARM, begin, fill, problems, rollout


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for one in path.parent.glob("x.db*"):
        one.unlink()


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def delete_log(path: Path) -> None:
    path.with_name("x.db-wal").unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def replace(path: Path) -> None:
    fill(path.with_name("other.db"), 10).rename(path)


def relink(path: Path) -> None:
    """The path is a link, and comes to lead to another file."""
    path.unlink()
    path.symlink_to(fill(path.with_name("other.db"), 10))


Fault = Callable[[Path], None]
FAULTS: list[tuple[Fault, str, str]] = [
    (delete, "was deleted or moved", "folder/x.rescued-*.db"),
    (delete_all, "was deleted or moved", "folder/x.rescued-*.db"),
    (delete_folder, "its folder", "x.rescued-*.db"),
    (delete_log, "was deleted or moved (its file x.db-wal)", "folder/x.db"),
    (move, "was deleted or moved", "folder/moved.db"),
    (move_folder, "its folder", "elsewhere/x.db"),
    (replace, "was replaced by another file", "folder/x.rescued-*.db"),
]


@pytest.mark.parametrize(("fault", "trouble", "kept"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_what_was_committed_is_saved_and_named(
    fault: Fault, trouble: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "x.db"
    with RolloutWriter.open(path) as writer:
        condition = writer.register_condition(WARM)
        ids = list(writer.register_problems("countdown", "t", problems(*range(10))).values())
        session = begin(writer, condition)
        writer.add(session, [rollout(condition, id_, 42) for id_ in ids], {})
        fault(path)
        with pytest.raises(DatabaseLostError) as caught:
            writer.add(session, [rollout(condition, id_, 43) for id_ in ids], {})
        writer.end_session(session, "failed")  # what a command does next raises nothing new
    assert trouble in str(caught.value)
    (place,) = tmp_path.glob(kept)
    assert str(place) in str(caught.value) or place == path
    with RolloutStore.open(place) as store:
        assert store.totals(condition).rollouts == 20
        assert store.correctness(condition).stored.sum() == 20
    assert not [log for log in tmp_path.glob("**/*-wal") if log.stat().st_size]  # for another database to take up
    if not path.exists():
        assert [left.name for left in tmp_path.glob("folder/x.db*")] in ([], ["x.db.lock"])


def test_the_working_folder_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that was typed still leads to the file, and that of its log does not."""
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    with RolloutWriter.open("x.db") as writer:
        writer.register_condition(WARM)
        (tmp_path / "folder").rename(tmp_path / "elsewhere")
        with pytest.raises(DatabaseLostError, match=f"its folder {tmp_path / 'folder'} was") as caught:
            writer.register_condition(NOISY)
    assert f"It is {tmp_path / 'elsewhere' / 'x.db'} now" in str(caught.value)
    with RolloutStore.open("x.db") as store:
        assert [stored.condition for stored in store.conditions()] == [WARM, NOISY]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_the_file_system_is_unmounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with RolloutWriter.open(disk / "x.db") as writer:
            writer.register_condition(WARM)
            subprocess.run(["umount", "--lazy", disk], check=True)
            with pytest.raises(DatabaseLostError, match=f"is no longer mounted at {disk}") as caught:
                writer.register_condition(NOISY)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=False, capture_output=True)
    (saved,) = disk.glob("x.rescued-*.db")
    assert str(saved) in str(caught.value)
    with RolloutStore.open(saved) as store:
        assert [stored.condition for stored in store.conditions()] == [WARM, NOISY]


def test_a_link_that_comes_to_lead_elsewhere(tmp_path: Path) -> None:
    link, target = tmp_path / "link.db", tmp_path / "target.db"
    link.symlink_to(target)
    with RolloutWriter.open(link) as writer:
        condition = writer.register_condition(WARM)
        relink(link)
        with pytest.raises(DatabaseLostError, match="was replaced by another file") as caught:
            writer.register_condition(WARM)
    assert str(target) in str(caught.value)
    with RolloutStore.open(target) as store:
        assert [stored.id for stored in store.conditions()] == [condition]


def test_closing_notices_it_too(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with pytest.raises(DatabaseLostError, match="was deleted or moved"), RolloutWriter.open(path) as writer:
        writer.register_condition(WARM)
        path.unlink()
    (saved,) = tmp_path.glob("x.rescued-*.db")
    with RolloutStore.open(saved) as store:
        assert len(store.conditions()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write anywhere")
def test_nowhere_to_save_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.chdir(closed)
    monkeypatch.setattr("tempfile.tempdir", str(closed))
    with pytest.raises(DatabaseLostError, match="could not be saved"), RolloutWriter.open(closed / "x.db") as writer:
        (closed / "x.db").unlink()
        closed.chmod(0o500)
        writer.register_condition(WARM)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [delete_folder, pytest.param(move_folder, marks=pytest.mark.storm), pytest.param(replace, marks=pytest.mark.storm)],
    ids=lambda fault: fault.__name__,
)
def test_a_run_says_where_its_rollouts_are_and_goes_on_from_there(fault: Fault, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "x.db"
    command = ["sample-temp", "--model", "tiny", "-t", "0.8", "--max-tokens", "16", "--no-baseline"]
    command += ["--problems", "200:232", "--samples", "24", "--batch-size", "16", "--db"]
    words = [sys.executable, "-m", "esprobe", *command, str(path)]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while stored(path) < 64 and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        fault(path)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "stored in" not in out + err.splitlines()[-1]
    places = [*tmp_path.glob("x.rescued-*.db"), *tmp_path.glob("*/x.rescued-*.db"), *tmp_path.glob("elsewhere/x.db")]
    assert len(places) == 1 and str(places[0]) in err
    resumed = run_process(tmp_path, *command, places[0])
    assert resumed.returncode == 0 and "resuming: " in resumed.stderr, resumed.stderr
    undisturbed = tmp_path / "undisturbed.db"
    assert run_process(tmp_path, *command, undisturbed).returncode == 0
    assert rows(places[0]) == rows(undisturbed)
    assert query(places[0], "PRAGMA integrity_check") == [("ok",)]


def test_a_file_that_is_cut_off_is_noticed_at_the_next_commit(tmp_path: Path) -> None:
    path = fill(tmp_path / "x.db", 40)
    with RolloutWriter.open(path) as writer:
        writer.register_condition(WARM)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(DatabaseLostError, match="was cut off from .*esprobe salvage"):
            writer.register_condition(WARM)
