"""Faults at random moments under a run: it holds exactly what it says, or has said what is wrong, and can go on."""

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.sampling.material import ANSWER, rows, write_data, write_script

ROUNDS = int(os.environ.get("ESPROBE_SOAK_ROUNDS", "200"))
PROBLEMS, SAMPLES = 60, 250
NOBODY = 65534
USER = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []


class Disk:
    """A file system of 40 MB, and the folder of one round on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "round"

    def fresh(self) -> Path:
        for entry in self.root.iterdir():
            entry.chmod(0o700)
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.make_folder()
        return self.folder / "x.db"

    def make_folder(self) -> None:
        self.folder.mkdir()
        os.chown(self.folder, *((NOBODY, NOBODY) if USER else (-1, -1)))

    def restore(self) -> None:
        (self.root / "filler").unlink(missing_ok=True)
        if self.folder.exists():
            self.folder.chmod(0o700)


@pytest.fixture
def disk() -> Iterator[Disk]:
    root = Path(tempfile.mkdtemp(prefix="esprobe-soak-"))
    root.chmod(0o777)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=777", "tmpfs", root], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)
        root.rmdir()


def delete(disk: Disk, db: Path, dice: random.Random) -> None:
    db.unlink()


def delete_folder(disk: Disk, db: Path, dice: random.Random) -> None:
    shutil.rmtree(disk.folder)


def move(disk: Disk, db: Path, dice: random.Random) -> None:
    db.rename(db.with_name("moved.db"))


def remove_log(disk: Disk, db: Path, dice: random.Random) -> None:
    db.with_name("x.db-wal").unlink()


def truncate(disk: Disk, db: Path, dice: random.Random) -> None:
    os.truncate(db, int(db.stat().st_size * dice.random()))


def overwrite_page(disk: Disk, db: Path, dice: random.Random) -> None:
    with db.open("r+b") as file:
        header = file.read(100)
        size = int.from_bytes(header[16:18], "big")
        size = 65536 if size == 1 else max(size, 512)
        file.seek(dice.randrange(max(db.stat().st_size // size, 1)) * size)
        file.write(dice.randbytes(size))


def fill_disk(disk: Disk, db: Path, dice: random.Random) -> None:
    with (disk.root / "filler").open("wb") as file, suppress(OSError):
        while True:
            file.write(b"x" * (1 << 20))
            file.flush()


def make_read_only(disk: Disk, db: Path, dice: random.Random) -> None:
    disk.folder.chmod(0o500)


FAULTS: list[Callable[[Disk, Path, random.Random], None]] = [
    delete, delete_folder, move, remove_log, truncate, overwrite_page, fill_disk, make_read_only,
]  # fmt: skip


def esprobe(*words: object) -> list[str]:
    return [*USER, sys.executable, "-m", "esprobe", *map(str, words)]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}


def run(*words: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(esprobe(*words), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.mark.storm
def test_faults_under_a_run(disk: Disk, tmp_path_factory: pytest.TempPathFactory) -> None:
    work = Path(tempfile.mkdtemp(prefix="esprobe-soak-work-"))  # where a user may write what is saved
    work.chmod(0o777)
    data = write_data(work / "data.json", PROBLEMS)
    script = write_script(work / "script.json", ANSWER, " 3", " so many words" * 8, "long \u2713 " * 300)
    command = ["sample-temp", "--engine", "scripted", "--model", script, "--data", data, "--problems", f"0:{PROBLEMS}"]
    command += ["-t", "1", "--max-tokens", "12", "--samples", str(SAMPLES)]
    assert run(*command, "--db", work / "undisturbed.db", cwd=work).returncode == 0
    expected = rows(work / "undisturbed.db")
    dice, outcomes = random.Random(int(os.environ.get("ESPROBE_SOAK_SEED", "7"))), dict[tuple[str, str], int]()
    for number in range(ROUNDS):
        fault, db = FAULTS[number % len(FAULTS)], disk.fresh()
        with subprocess.Popen(
            esprobe(*command, "--db", db), cwd=work, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        ) as process:  # fmt: skip
            until = time.monotonic() + 60
            while not db.with_name("x.db-wal").exists() and process.poll() is None:
                assert time.monotonic() < until
                time.sleep(0.01)
            time.sleep(dice.uniform(0, 1.5))
            ended = process.poll() is not None
            if not ended:
                with suppress(FileNotFoundError):  # it ends in this moment, and its log is gone
                    fault(disk, db, dice)
            out, err = process.communicate(timeout=120)
        disk.restore()
        context = (number, fault.__name__, process.returncode, err[-1500:])
        if process.returncode == 0:
            intact = db.exists() and held(db) == expected
            assert intact or late(fault), context
            outcome = "ended before the fault" if ended else "complete" if intact else "fault in its last moment"
        else:
            assert process.returncode == 1 and "error: " in err and "Traceback" not in err, context
            outcome = "said so"
        if not disk.folder.exists():
            disk.make_folder()
        current = named(err, db, work, disk.root)
        current, steps = recovered(command, current, work, context)
        assert held(current) == expected, (*context, steps)
        key = (fault.__name__, f"{outcome}, {steps}")
        outcomes[key] = outcomes.get(key, 0) + 1
        for saved in work.glob("*.rescued-*"):
            saved.unlink()
    for (name, what), count in sorted(outcomes.items()):
        print(f"{name:15} {count:4}  {what}")
    shutil.rmtree(work)


def late(fault: object) -> bool:
    """Whether the fault can come after the command has read back what it wrote, in the moment before it ends."""
    return fault not in (fill_disk, make_read_only)


def held(db: Path) -> list[tuple[object, ...]] | None:
    """The rollouts of a file, if all of them can be read."""
    try:
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            (sound,) = connection.execute("PRAGMA quick_check").fetchone()
        return rows(db) if sound == "ok" else None
    except sqlite3.Error:
        return None


def named(err: str, db: Path, *roots: Path) -> Path:
    """Where the message says that the rollouts are."""
    found = re.search(r"(?:saved as|It is) (\S+\.db)", err)
    return Path(found[1]) if found else db


def recovered(command: list[object], db: Path, work: Path, context: object) -> tuple[Path, str]:
    """What the messages advise: the same command again; ``salvage`` where they say that the file is damaged."""
    steps = []
    for attempt in range(4):
        done = run(*command, "--db", db, cwd=work)
        verified = run("verify", "--all", "--db", db, cwd=work) if done.returncode == 0 else None
        if verified is not None and verified.returncode == 0:
            steps.append("resumed")
            return db, " then ".join(steps)
        message = done.stderr + ("" if verified is None else verified.stdout + verified.stderr)
        if "is not that of this file" in message:
            db.with_name(f"{db.name}-wal").unlink()
            steps.append("moved the log away")
            continue
        into = work / f"salvaged-{attempt}.db"
        for part in ("", "-wal", "-shm"):
            Path(f"{into}{part}").unlink(missing_ok=True)
        salvaged = run("salvage", db, "--into", into, cwd=work)
        if salvaged.returncode:
            steps.append("lost all")  # the first pages are gone, and no condition is left
            assert "holds a whole condition" in salvaged.stderr or "is empty" in salvaged.stderr, (
                context,
                salvaged.stderr,
            )
            into.unlink(missing_ok=True)
        else:
            steps.append("salvaged")
        db = into
    raise AssertionError((context, steps, message))
