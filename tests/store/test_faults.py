"""Faults beneath SQLite, in a real process on a real disk: a sound file, an error in words, and a run that goes on."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run_process
from tests.sampling.material import query, rows, write_data, write_script

PROBLEMS, SAMPLES = 200, 400
SOURCE = Path(__file__).parent / "faulty_disk.c"


@pytest.fixture(scope="module")
def faulty_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes a process's disk fail when it is told to."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler to build the faulty disk with, or this is not Linux")
    library = tmp_path_factory.mktemp("faulty") / "faulty_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """A file system on a disk of its own."""
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    for command in (["mkfs.ext4", "-q", "-F", image], ["mount", "-o", "loop", image, folder]):
        if (
            shutil.which(str(command[0])) is None
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip(f"{command[0]} does not work here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def command(folder: Path, database: Path) -> list[str]:
    data = write_data(folder / "data.json", PROBLEMS)
    script = write_script(folder / "script.json", "some words", "other words", " </think>\n<answer> 1 + 2 </answer>")
    words = ["sample-temp", "--engine", "scripted", "--model", script, "--data", data, "--problems", f"0:{PROBLEMS}"]
    return [*map(str, words), "-t", "1", "--samples", str(SAMPLES), "--db", str(database)]


def started(words: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "esprobe", *words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rollouts(database: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not database.exists() or not (database.stat().st_size and held(database)):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)


def held(database: Path) -> int:
    try:
        return int(str(query(database, "SELECT coalesce(sum(rollouts), 0) FROM totals")[0][0]))
    except Exception:
        return 0


def ended_in_words(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, ""), err
    assert "Traceback" not in err
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    return line


def goes_on(tmp_path: Path, words: list[str], database: Path) -> None:
    """What was committed is there, and the same command draws exactly the rest."""
    assert query(database, "PRAGMA integrity_check") == [("ok",)]
    before = rows(database)
    assert 0 < len(before) < PROBLEMS * (SAMPLES + 1)
    done = run_process(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    undisturbed = tmp_path / "undisturbed.db"
    again = run_process(tmp_path, *words[:-1], undisturbed)
    assert again.returncode == 0, again.stderr
    assert set(before) <= set(rows(database))
    assert rows(database) == rows(undisturbed)
    assert run_process(tmp_path, "verify", "--all", "--db", database).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "number", "said"),
    [("write", errno.EIO, "check the disk"), ("write", errno.ENOSPC, "is full"),
     pytest.param("write", errno.EROFS, "", marks=pytest.mark.storm),
     pytest.param("write", errno.EDQUOT, "", marks=pytest.mark.storm)],
)  # fmt: skip
def test_a_disk_that_fails_while_sampling(
    faulty_disk: Path, tmp_path: Path, fault: str, number: int, said: str
) -> None:
    database, trigger = tmp_path / "e.db", tmp_path / "trigger"
    words = command(tmp_path, database)
    with started(words, {"LD_PRELOAD": str(faulty_disk), "FAULT": str(trigger)}) as process:
        wait_for_rollouts(database, process)
        (tmp_path / "draft").write_text(f"{fault} {number}")
        (tmp_path / "draft").rename(trigger)
        line = ended_in_words(process)
    assert str(database) in line and said in line
    trigger.unlink()
    goes_on(tmp_path, words, database)


@pytest.mark.slow
def test_a_disk_that_cannot_sync_loses_nothing(faulty_disk: Path, tmp_path: Path) -> None:
    """SQLite syncs when it folds its log in, and may go on without; either way the file is sound."""
    database, trigger = tmp_path / "e.db", tmp_path / "trigger"
    words = command(tmp_path, database)
    with started(words, {"LD_PRELOAD": str(faulty_disk), "FAULT": str(trigger)}) as process:
        wait_for_rollouts(database, process)
        trigger.write_text(f"sync {errno.EIO}")
        _, err = process.communicate(timeout=120)
    assert process.returncode in (0, 1) and "Traceback" not in err, err
    trigger.unlink()
    assert query(database, "PRAGMA integrity_check") == [("ok",)]
    assert run_process(tmp_path, *words).returncode == 0
    assert held(database) == PROBLEMS * (SAMPLES + 1)


@pytest.mark.slow
def test_a_disk_that_turns_read_only_while_sampling(tmp_path: Path, ext4: Path) -> None:
    """What the kernel does to a file system whose disk fails: every later write is refused."""
    database = ext4 / "e.db"
    words = command(tmp_path, database)
    with started(words, {}) as process:
        wait_for_rollouts(database, process)
        os.sync()  # what follows is a power cut to whatever the disk does not have yet
        subprocess.run(["mount", "-o", "remount,abort", ext4], check=True)
        line = ended_in_words(process)
    assert str(database) in line
    subprocess.run(["umount", ext4], check=True)
    subprocess.run(["fsck.ext4", "-y", tmp_path / "disk.img"], check=False, capture_output=True)
    subprocess.run(["mount", "-o", "loop", tmp_path / "disk.img", ext4], check=True)
    goes_on(tmp_path, words, database)


@pytest.mark.parametrize("reading", [["passk"], ["report"], ["status"], ["show"], ["export"], ["verify"]])
def test_a_disk_that_cannot_be_read_shows_no_figure(
    faulty_disk: Path, tmp_path: Path, reading: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, trigger = tmp_path / "e.db", tmp_path / "trigger"
    words = command(tmp_path, database)
    assert run_process(tmp_path, *words, "--samples", 2).returncode == 0
    trigger.write_text(f"read {errno.EIO}")
    monkeypatch.setenv("LD_PRELOAD", str(faulty_disk))
    monkeypatch.setenv("FAULT", str(trigger))
    done = run_process(tmp_path, *reading, "--db", database)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: reading or writing") and "Traceback" not in done.stderr
