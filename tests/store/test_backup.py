"""``backup`` when something goes wrong: a damaged source is told, and a folder that vanishes is not blamed on it."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from esprobe.store import RolloutStore
from tests.sampling.material import invoke, query
from tests.store.material import fill, shell


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE totals SET checksum = checksum + 1",
        "UPDATE totals SET rollouts = rollouts - 1",
        "UPDATE problem SET problem_group = '7 numbers' WHERE problem_index = 3",
    ],
)
def test_a_copy_of_a_damaged_database_is_made_and_told(tmp_path: Path, change: str) -> None:
    path, copy = fill(tmp_path / "x.db"), tmp_path / "copy.db"
    shell(path, change)
    done = invoke("backup", copy, "--db", path)
    assert (done.code, done.stdout) == (1, "")
    assert f"the copy {copy} was made" in done.stderr and f"{path} is damaged" in done.stderr
    with RolloutStore.open(copy) as store:
        assert [condition.id for condition in store.conditions()] == [1]


CHANGES = {
    "a text": lambda path: shell(path, "UPDATE completion SET text = text || '.' WHERE id = 3"),
    "a token count": lambda path: shell(path, "UPDATE totals SET tokens = tokens + 1"),
    "a page of texts": lambda path: overwrite(path, "completion"),
    "a page of rollouts": lambda path: overwrite(path, "rollout"),
}


def overwrite(path: Path, table: str) -> None:
    """The last page of a table, with random bytes."""
    pages = query(path, "SELECT max(pageno), max(pgsize) FROM dbstat WHERE name = ?", table)
    ((number, size),) = pages
    assert isinstance(number, int) and isinstance(size, int)
    with path.open("r+b") as file:
        file.seek((number - 1) * size)
        file.write(random.Random(1).randbytes(size))


@pytest.mark.parametrize("change", CHANGES)
def test_an_older_copy_is_not_replaced_by_a_damaged_one(tmp_path: Path, change: str) -> None:
    path, copy = fill(tmp_path / "x.db", 2000, "a long text " * 40), tmp_path / "copy.db"
    assert invoke("backup", copy, "--db", path).code == 0
    before = copy.read_bytes()
    CHANGES[change](path)
    done = invoke("backup", copy, "--db", path, "--overwrite")
    assert (done.code, done.stdout) == (1, "")
    assert f"the older copy {copy} was kept" in done.stderr and "is damaged" in done.stderr
    assert copy.read_bytes() == before
    other = invoke("backup", tmp_path / "other.db", "--db", path)
    assert (other.code, other.stdout) == (1, "") and "was made, but keep older ones" in other.stderr


def test_a_read_only_copy_is_not_replaced(tmp_path: Path) -> None:
    path, copy = fill(tmp_path / "x.db"), tmp_path / "copy.db"
    assert invoke("backup", copy, "--db", path).code == 0
    copy.chmod(0o444)
    before = copy.stat()
    done = invoke("backup", copy, "--db", path, "--overwrite")
    assert (done.code, done.stdout) == (2, "")
    assert "is read-only" in done.stderr and "chmod u+w" in done.stderr
    assert copy.stat().st_ino == before.st_ino


def test_a_target_folder_that_vanishes_is_what_is_blamed(tmp_path: Path) -> None:
    path = fill(tmp_path / "x.db", 2000, "a long text " * 4000)  # 96 MB, whose copy takes a moment
    for _ in range(20):
        done = backed_up_into_a_vanishing_folder(path, tmp_path / "folder")
        if done.returncode:  # else the copy was complete before its folder was gone
            break
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "the copy cannot be written to" in done.stderr and "damaged" not in done.stderr
    with RolloutStore.open(path) as store:
        assert store.correctness(1).stored.sum() == 2000


def backed_up_into_a_vanishing_folder(path: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    folder.mkdir()
    words = [sys.executable, "-m", "esprobe", "backup", folder / "copy.db", "--db", path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not any(folder.iterdir()):
            time.sleep(0.001)
        while folder.exists():  # the command may make a file in it meanwhile
            shutil.rmtree(folder, ignore_errors=True)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, out, err)
