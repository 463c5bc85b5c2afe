"""What cannot be opened is refused in words: no traceback, no wrong number, and no byte of it changed."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from esprobe.errors import StoreError
from esprobe.store import RolloutStore, RolloutWriter
from tests.sampling.material import invoke, query, rows, write_data, write_script
from tests.store.material import WARM, fill, rollout, shell

either = pytest.mark.parametrize("access", [RolloutStore, RolloutWriter], ids=["read", "write"])
Access = type[RolloutStore]


def refusal(access: Access, path: Path) -> str:
    """The message with which a path is refused, by opening it or by reading all that is in it."""
    with pytest.raises(StoreError) as caught, access.open(path) as store:
        read_all(store)
    message = str(caught.value)
    assert path.name in message and "\n" not in message
    return message


def read_all(store: RolloutStore) -> list[object]:
    found: list[object] = []
    for known in store.conditions():
        found += [*store.counts(known.id), store.totals(known.id), *store.rollouts(known.id), *store.sessions()]
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # also where a failed test left a file open


def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    assert "there is no database at" in refusal(RolloutStore, tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


@either
def test_a_name_that_is_too_long_is_said(tmp_path: Path, access: Access) -> None:
    assert "(File name too long)" in refusal(access, tmp_path / ("x" * 300))


@either
def test_a_pipe_is_no_database(tmp_path: Path, access: Access) -> None:
    os.mkfifo(tmp_path / "e.db")
    assert "is a device or a pipe" in refusal(access, tmp_path / "e.db")
    assert [path.name for path in tmp_path.iterdir()] == ["e.db"]


@either
def test_a_missing_folder_is_named(tmp_path: Path, access: Access) -> None:
    assert f"{tmp_path / 'none'}" in refusal(access, tmp_path / "none" / "e.db")
    assert list(tmp_path.iterdir()) == []


@either
def test_a_folder_is_no_database(tmp_path: Path, access: Access) -> None:
    (tmp_path / "e.db").mkdir()
    assert "is a folder" in refusal(access, tmp_path / "e.db")
    assert [path.name for path in tmp_path.iterdir()] == ["e.db"]


@either
@pytest.mark.parametrize("content", [b"k,pass\n1,0.5\n" * 100, b"SQLite format 3\0" + b"\xff" * 200])
def test_a_file_of_another_kind_is_left_untouched(tmp_path: Path, access: Access, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    assert "is not an SQLite database" in refusal(access, path)
    assert path.read_bytes() == content


@either
@pytest.mark.parametrize(
    ("first", "content"),
    [(0, bytes(4096)), (3, b"?"), (16, b"\x13"), (47, b"\xff"), (103, b"\0\0"), (100, bytes(28_000))],
    ids=["no beginning", "name", "page size", "format", "no rows", "no list of tables"],
)
def test_a_database_whose_beginning_is_damaged_is_sent_to_salvage(
    tmp_path: Path, access: Access, first: int, content: bytes
) -> None:
    path = tmp_path / "x.db"
    script, data = write_script(tmp_path / "s.json", " no", "a long text " * 20), write_data(tmp_path / "d.json", 10)
    words = ["--engine", "scripted", "--model", script, "--data", data, "--problems", "0:10", "--samples", 20]
    assert invoke("sample-temp", "-t", 1, *words, "--db", path).code == 0
    expected = rows(path)
    with path.open("r+b") as file:
        file.seek(first)
        file.write(content)
    before = path.read_bytes()
    assert f"esprobe salvage {path} --into" in refusal(access, path)
    assert path.read_bytes() == before
    assert invoke("salvage", path, "--into", tmp_path / "new.db").code == 0
    assert rows(tmp_path / "new.db") == expected


@either
@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE rollout (id)"],
        ["CREATE TABLE migration (name)", "INSERT INTO migration VALUES ('0001_initial')"],
        ["CREATE TABLE migration (name)"],
    ],
    ids=["tables", "migrations", "no migrations"],
)
def test_a_database_of_another_program_is_left_untouched(tmp_path: Path, access: Access, statements: list[str]) -> None:
    path = tmp_path / "foreign.db"
    shell(path, *statements)
    before = path.read_bytes()
    assert "not one of esprobe's" in refusal(access, path)
    assert path.read_bytes() == before


def test_an_empty_file_holds_nothing_to_read_and_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    path.touch()
    assert "is empty" in refusal(RolloutStore, path)
    with RolloutWriter.open(path) as writer:
        assert writer.register_condition(WARM) == 1


@either
@pytest.mark.parametrize("share", ["40 bytes", "1 page", "half", "half a page less", "1 page less", "1 byte less"])
def test_a_truncated_database_is_damaged(tmp_path: Path, access: Access, share: str) -> None:
    path = fill(tmp_path / "e.db", text="some words " * 100)
    size, page = path.stat().st_size, 4096
    assert size > 10 * page
    cut = {
        "40 bytes": 40,
        "1 page": page,
        "half": size // 2,
        "half a page less": size - page // 2,
        "1 page less": size - page,
        "1 byte less": size - 1,
    }[share]
    os.truncate(path, cut)
    before = path.read_bytes()
    assert "is damaged" in refusal(access, path)
    assert path.read_bytes() == before


@either
def test_a_database_with_a_broken_page_is_damaged(tmp_path: Path, access: Access) -> None:
    path = fill(tmp_path / "e.db", text="some words " * 100)
    content = bytearray(path.read_bytes())
    content[-4096:] = b"\xff" * 4096
    path.write_bytes(content)
    assert "is damaged" in refusal(access, path)


def test_a_read_only_file_can_be_read_and_not_written(tmp_path: Path) -> None:
    path = fill(tmp_path / "e.db")
    if os.geteuid():
        path.chmod(0o444)
    elif not shutil.which("chattr") or subprocess.run(["chattr", "+i", path], capture_output=True).returncode:
        pytest.skip("nothing is read-only to root here: chattr +i is not to be had")
    try:
        assert "is read-only" in refusal(RolloutWriter, path)
        with RolloutStore.open(path) as store:
            assert store.totals(1).rollouts == 40
    finally:
        if not os.geteuid():
            subprocess.run(["chattr", "-i", path], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.db", "e.db.lock"]


def test_a_database_on_a_read_only_disk_can_be_read_and_not_written(tmp_path: Path, small_disk: Path) -> None:
    path = fill(small_disk / "e.db")
    unfinished = small_disk / "unfinished.db"
    with RolloutWriter.open(path) as writer:  # a copy made while a sampler runs: its last commits are in the log
        writer.add(1, [rollout(1, 1, 50)], {})
        shutil.copy(path, unfinished)
        shutil.copy(f"{path}-wal", f"{unfinished}-wal")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with RolloutStore.open(path) as store:
        assert store.totals(1).rollouts == 41
    assert "read-only" in refusal(RolloutWriter, path).lower()
    # SQLite cannot read such a log where it cannot write; 40 would be a wrong number.
    assert "cannot be opened" in refusal(RolloutStore, unfinished)


def test_a_database_that_another_program_has_locked_says_so(tmp_path: Path) -> None:
    path = fill(tmp_path / "e.db")
    with RolloutWriter.open(path) as writer:
        browser = sqlite3.connect(path)
        browser.execute("BEGIN IMMEDIATE")
        try:
            (connection,) = writer._database._idle
            connection.execute("PRAGMA busy_timeout = 50")
            with pytest.raises(StoreError, match="locked by another program"):
                writer.add(1, [rollout(1, 1, 50)], {})
        finally:
            browser.close()
        assert writer.add(1, [rollout(1, 1, 50)], {}) == 1


def test_a_full_disk_ends_the_run_with_a_sound_file_and_more_room_resumes_it(small_disk: Path, tmp_path: Path) -> None:
    path, data = small_disk / "e.db", write_data(tmp_path / "data.json", 200)
    script = write_script(tmp_path / "script.json", "some words", "other words")
    command = ["sample-temp", "--engine", "scripted", "--model", script, "--data", data, "--problems", "0:200"]
    command += ["--samples", "64", "-t", "1", "--db", path]
    first, again = invoke(*command), invoke(*command)
    for done in (first, again):
        assert (done.code, done.stdout) == (1, "")
        assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
            f"error: the disk under {path} is full; everything committed so far is safe. Free some space and run the "
            f"same command again to go on"
        ]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    before = rows(path)
    assert 0 < len(before) < 13_000
    assert f"resuming: {len(before):,} of 13,000 stored" in again.stderr
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    done = invoke(*command)
    assert done.code == 0
    assert done.stdout.startswith(f"13,000 of 13,000 rollouts stored in {path} ({13_000 - len(before):,} now)\n")
    assert set(before) <= set(rows(path))


def test_a_disk_without_room_for_a_new_database_is_full(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(b"x" * 5_000_000)
    assert "is full" in refusal(RolloutWriter, small_disk / "e.db")


def test_a_full_disk_is_what_salvage_names(small_disk: Path, tmp_path: Path) -> None:
    script, data = write_script(tmp_path / "s.json", "a long text " * 2000), write_data(tmp_path / "d.json", 20)
    words = ["--engine", "scripted", "--model", script, "--data", data, "--problems", "0:20", "--samples", 80]
    assert invoke("sample-temp", "-t", 1, *words, "--db", tmp_path / "x.db").code == 0
    done = invoke("salvage", tmp_path / "x.db", "--into", small_disk / "new.db")
    assert (done.code, done.stdout) == (1, "")
    assert f"cannot be written to {small_disk / 'new.db'} (the disk is full)" in done.stderr
    assert ".part" not in done.stderr and not list(small_disk.iterdir())
