"""Paths that an ordinary user cannot reach or write: one line in words, whichever command is given them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.store.material import fill

NOBODY = 65534


def as_user(folder: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    """The command line as a user whom permissions bind; root they do not."""
    other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    environment = os.environ | {"HOME": str(folder), "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*other, sys.executable, "-m", "esprobe", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A user's folder with a database, a file to import, a folder that may not be entered and one that is read-only."""
    folder = Path(tempfile.mkdtemp(prefix="esprobe-user-"))  # pytest's own folders are closed to other users
    closed, read_only = folder / "closed", folder / "read-only"
    for one in (closed, read_only):
        one.mkdir()
        fill(one / "in.db")
        (one / "in.jsonl").write_text('{"problem": 1, "correct": true, "completion": "a"}\n')
    fill(folder / "x.db")
    shutil.copy(closed / "in.jsonl", folder / "in.jsonl")
    for one in [folder, *folder.rglob("*")]:
        if os.geteuid() == 0:
            os.chown(one, NOBODY, NOBODY)
    closed.chmod(0)
    read_only.chmod(0o500)
    try:
        if shutil.which("setpriv") is None or as_user(folder, "--version").returncode:
            pytest.skip("no ordinary user can run this interpreter here")
        yield folder
    finally:
        with suppress(OSError):
            closed.chmod(0o700)
            read_only.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


WRITING = {
    "backup": ["backup", "DIR/b.db", "--db", "x.db"],
    "report": ["report", "-o", "DIR/r.md", "--db", "x.db"],
    "export": ["export", "-o", "DIR/e.jsonl", "--db", "x.db"],
    "merge": ["merge", "x.db", "--into", "DIR/m.db"],
    "salvage": ["salvage", "x.db", "--into", "DIR/s.db"],
    "import": ["import", "in.jsonl", "--label", "a", "--db", "DIR/i.db"],
    "sample-temp": ["sample-temp", "--model", "tiny", "-t", "1", "--samples", "1", "--db", "DIR/n.db"],
    "scan --figure": ["scan", "--model", "tiny", "--db", "x.db", "--figure", "DIR/f.png"],
    "save-model": ["save-model", "--model", "tiny", "--sigma", "0.1", "--seed", "1", "DIR/model"],
}
READING = {
    "passk": ["passk", "--db", "closed/in.db"],
    "status": ["status", "--db", "closed/in.db"],
    "plan": ["plan", "--model", "tiny", "-t", "1", "--db", "closed/in.db"],
    "merge from": ["merge", "closed/in.db", "--into", "m.db"],
    "salvage from": ["salvage", "closed/in.db", "--into", "s.db"],
    "import from": ["import", "closed/in.jsonl", "--label", "a", "--db", "i.db"],
    "rescore": ["rescore", "--db", "closed/in.db", "--write"],
    "doctor": ["doctor", "--model", "closed/model"],
    "data": ["data", "check", "--data", "closed/data.json"],
    "config": ["sample-temp", "--config", "closed/c.yaml"],
    "trained model": ["sample-temp", "--model", "closed/x.db:1", "-t", "1", "--db", "n.db"],
    "trained checkpoint": ["save-model", "--model", "closed/x.db:1", "model"],
}


@pytest.mark.parametrize("place", ["closed", "read-only"])
@pytest.mark.parametrize("command", WRITING.values(), ids=WRITING)
def test_a_folder_that_cannot_be_written(home: Path, command: list[str], place: str) -> None:
    done = as_user(home, *(word.replace("DIR", place) for word in command))
    assert done.returncode == 1, done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: ") and f"{place}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", READING.values(), ids=READING)
def test_a_folder_that_may_not_be_entered(home: Path, command: list[str]) -> None:
    done = as_user(home, *command)
    assert done.returncode in (1, 2), done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: ") and "closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_target_is_not_the_fault_of_the_database(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        fill(tmp_path / "x.db", 4000, "a text " * 50)
        done = subprocess.run(
            [sys.executable, "-m", "esprobe", "backup", small / "b.db", "--db", tmp_path / "x.db"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and f"cannot be written to {small / 'b.db'} (the disk is full)" in done.stderr
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize("words", [["passk"], ["backup", "b.db"], ["sample-temp", "--model", "tiny"]])
def test_a_working_folder_that_was_deleted(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "gone").mkdir()
    command = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", sys.executable, "-m", "esprobe", *words]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path / "gone", env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "the working folder was deleted" in done.stderr
