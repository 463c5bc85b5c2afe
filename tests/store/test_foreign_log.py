"""A write-ahead log beside a file that is not its own: SQLite would mix the two, so it is refused by name."""

import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from esprobe.errors import StoreError
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.store.wal import read_log, why_foreign
from tests.store.material import child, fill

KILLED = """
import os, signal, sys
from pathlib import Path
from esprobe.store import RolloutWriter
from tests.store.material import WARM, begin, problems, rollout
with RolloutWriter.open(sys.argv[1]) as writer:
    condition = writer.register_condition(WARM)
    ids = list(writer.register_problems("countdown", "t", problems(*range(10))).values())
    session = begin(writer, condition)
    for seed in range(int(sys.argv[2]), int(sys.argv[3])):
        writer.add(session, [rollout(condition, id_, seed, "text " * 200) for id_ in ids], {})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(path: Path, first: int, stop: int) -> Path:
    """A database and the log that a kill has left beside it."""
    with child(KILLED, path, first, stop) as process:
        assert process.wait(60) == -signal.SIGKILL
    return path


def test_the_log_of_a_killed_run_is_its_own(tmp_path: Path) -> None:
    path = killed(tmp_path / "x.db", 42, 60)
    log = read_log(tmp_path / "x.db-wal", verify=True)
    assert log is not None and log == read_log(tmp_path / "x.db-wal", verify=False)
    assert log.pages > 10 and why_foreign(path) is None
    with RolloutStore.open(path) as store:
        assert store.totals(1).rollouts == 180


def test_a_frame_that_was_torn_ends_the_log_where_sqlite_ends_it(tmp_path: Path) -> None:
    path = killed(tmp_path / "x.db", 42, 60)
    wal = tmp_path / "x.db-wal"
    blob = bytearray(wal.read_bytes())
    blob[len(blob) * 2 // 3] ^= 1
    wal.write_bytes(blob)
    log = read_log(wal, verify=True)
    with sqlite3.connect(path) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    assert log is not None and log.pages == pages


@pytest.mark.parametrize("older", [True, False], ids=["an older copy", "a newer copy"])
@pytest.mark.parametrize("mode", [RolloutStore, RolloutWriter], ids=["read", "write"])
def test_a_log_of_another_moment_is_refused(tmp_path: Path, older: bool, mode: type[RolloutStore]) -> None:
    before = fill(tmp_path / "before.db", 40)
    shutil.copy(before, tmp_path / "x.db")
    killed(tmp_path / "x.db", 50, 90)
    if older:
        with RolloutStore.open(tmp_path / "x.db"):
            pass  # folds the log in
        killed(tmp_path / "x.db", 90, 130)
        shutil.copy(before, tmp_path / "x.db")  # a backup is put back, and the log stays
    else:
        shutil.copy(tmp_path / "x.db-wal", tmp_path / "kept")
        with RolloutStore.open(tmp_path / "x.db"):
            pass
        with RolloutWriter.open(tmp_path / "x.db"):
            pass
        killed(tmp_path / "x.db", 90, 200)
        with RolloutStore.open(tmp_path / "x.db"):
            pass
        shutil.copy(tmp_path / "kept", tmp_path / "x.db-wal")
    held = {path.name: path.read_bytes() for path in tmp_path.glob("x.db*") if not path.name.endswith(".lock")}
    with pytest.raises(StoreError, match="x.db-wal .* is not that of this file"):
        mode.open(tmp_path / "x.db")
    assert held == {path.name: path.read_bytes() for path in tmp_path.glob("x.db*") if not path.name.endswith(".lock")}


def test_a_log_of_a_file_with_other_pages_is_refused(tmp_path: Path) -> None:
    path = killed(tmp_path / "x.db", 42, 60)
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    (tmp_path / "y.db").write_bytes(path.read_bytes())
    killed(tmp_path / "z.db", 42, 60)
    shutil.copy(tmp_path / "z.db-wal", tmp_path / "y.db-wal")
    with pytest.raises(StoreError, match="y.db-wal .* is not that of this file .*8192"):
        RolloutStore.open(tmp_path / "y.db")
