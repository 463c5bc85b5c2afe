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
from contextlib import closing, contextmanager, suppress
from itertools import takewhile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.sampling.material import ANSWER, rows, write_data, write_script

ROUNDS = int(os.environ.get("ESPROBE_SOAK_ROUNDS", "200"))
SEED = int(os.environ.get("ESPROBE_SOAK_SEED", "7"))  # read here: a fixture clears the environment of tests
PROBLEMS, SAMPLES = 60, 400
MOST_ON_A_PAGE = 4000
"""Rollouts that one overwritten page can cost: the texts of these problems are short."""
NOBODY = 65534
USER = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []


class Disk:
    """A file system of 64 MB, and the folder of one round on it."""

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
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=777", "tmpfs", root], check=False).returncode:
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
    """A page that SQLite reads from the file, or if there is none one of the log: it reads those of the log first."""
    with db.open("r+b") as file, db.with_name("x.db-wal").open("r+b") as log:
        size = int.from_bytes(file.read(18)[16:], "big")
        logged = log_frames(log.read(), size)
        pages = sorted(set(range(1, db.stat().st_size // size + 1)) - logged.keys())
        target, at = (file, (dice.choice(pages) - 1) * size) if pages else (log, dice.choice([*logged.values()]))
        target.seek(at)
        target.write(dice.randbytes(size))


def log_frames(log: bytes, size: int) -> dict[int, int]:
    """By page number, where a write-ahead log has the newest copy (https://www.sqlite.org/fileformat2.html#walformat)."""
    salts = log[16:24]
    starts = range(32, len(log) - size - 23, 24 + size)
    valid = takewhile(lambda at: log[at + 8 : at + 16] == salts, starts)  # what follows is of an earlier log
    return {int.from_bytes(log[at : at + 4], "big"): at + 24 for at in valid}


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


@contextmanager
def started(command: list[object], db: Path, work: Path) -> "Iterator[subprocess.Popen[str]]":
    """A sampler whose database has its tables, in the log at least."""
    words = esprobe(*command, "--db", db)
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=work, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True) as process:
        until = time.monotonic() + 60
        while process.poll() is None and not logged_bytes(db):
            assert time.monotonic() < until
            time.sleep(0.005)
        yield process


def logged_bytes(db: Path) -> int:
    with suppress(FileNotFoundError):
        return db.with_name("x.db-wal").stat().st_size
    return 0


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
    with started(command, disk.fresh(), work) as process:
        begun = time.monotonic()
        assert process.wait(timeout=60) == 0
    sampling_s = time.monotonic() - begun
    expected = rows(disk.folder / "x.db")
    dice, outcomes = random.Random(SEED), dict[tuple[str, str], int]()
    number = late_rounds = 0
    while number < ROUNDS:
        fault, db = FAULTS[number % len(FAULTS)], disk.fresh()
        with started(command, db, work) as process:
            time.sleep(dice.uniform(0, 0.85 * sampling_s))
            ended = process.poll() is not None
            least = committed(db) - MOST_ON_A_PAGE if fault is overwrite_page else 0
            if not ended:
                with suppress(FileNotFoundError):  # it ends in this moment, and its log is gone
                    fault(disk, db, dice)
            out, err = process.communicate(timeout=120)
        if ended:  # runs have become shorter, as the machine is less busy: this fault comes again, sooner
            sampling_s, late_rounds = 0.8 * sampling_s, late_rounds + 1
            continue
        number, sampling_s = number + 1, 1.02 * sampling_s
        disk.restore()
        context = (number, fault.__name__, process.returncode, err[-1500:])
        if process.returncode == 0:
            intact = db.exists() and held(db) == expected
            assert intact or late(fault), context
            outcome = "complete" if intact else "fault in its last moment"
        else:
            assert process.returncode == 1 and "error: " in err and "Traceback" not in err, context
            outcome = "said so"
        if not disk.folder.exists():
            disk.make_folder()
        current = named(err, db, work, disk.root)
        current, steps = recovered(command, current, work, least, context)
        assert held(current) == expected, (*context, steps)
        key = (fault.__name__, f"{outcome}, {steps}")
        outcomes[key] = outcomes.get(key, 0) + 1
        for saved in work.glob("*.rescued-*"):
            saved.unlink()
    print(f"\n{ROUNDS} faults before a run's end; {late_rounds} that came later were tried again")
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


def committed(db: Path) -> int:
    """Rollouts that are in the file; 0 before it has its tables."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        (number,) = connection.execute("SELECT count(*) FROM rollout").fetchone()
        return int(number)
    return 0


def recovered(command: list[object], db: Path, work: Path, least: int, context: object) -> tuple[Path, str]:
    """What the messages advise: the same command again; ``salvage`` where they say that the file is damaged.

    It has to keep ``least`` rollouts, unless it says that what they belong to is lost: all conditions and all problems
    of this file are on one page each.
    """
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
            told = salvaged.stdout + salvaged.stderr
            assert committed(into) >= least or "condition is lost" in told or "problem is lost" in told, (context, told)
            steps.append("salvaged")
        db = into
    raise AssertionError((context, steps, message))
