"""One writer per database, in real processes; readers are never in its way."""

import fcntl
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from esprobe.errors import StoreError, StoreLockedError
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.store.file_system import network_file_system
from tests.conftest import Run
from tests.store.material import WARM, child, fill, hear

HOLD = """
import sys
from esprobe.store import RolloutWriter
with RolloutWriter.open(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""

# Adds rollouts one commit each, of problems that were not there before.
WRITE = """
import sys
from esprobe.store import RolloutWriter
from tests.store.material import WARM, begin, problems, rollout
with RolloutWriter.open(sys.argv[1]) as writer:
    condition = writer.register_condition(WARM)
    session = begin(writer, condition)
    for number in range(int(sys.argv[2])):
        ids = writer.register_problems("countdown", "t", problems(number))
        writer.add(session, [rollout(condition, ids[number], 42)], {})
        if number == 0 or sys.argv[3] != "in a hurry":
            print(number, flush=True)
        if sys.argv[3] == "when told":
            sys.stdin.readline()
    sys.stdin.read()
"""

FORK = """
import os, sys, time
from esprobe.store import RolloutWriter
writer = RolloutWriter.open(sys.argv[1])
if not os.fork():
    print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_second_writer_is_refused_at_once_and_told_who_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with child(HOLD, path) as holder:
        hear(holder)
        started = time.monotonic()
        with pytest.raises(StoreLockedError) as refusal:
            RolloutWriter.open(path)
        assert time.monotonic() - started < 1
    assert f"{path} is being written by process {holder.pid} on {socket.gethostname()} (since 20" in str(refusal.value)


def test_a_second_sampling_command_says_so_in_one_line(tmp_path: Path, esprobe: Run, script: Path) -> None:
    path = fill(tmp_path / "e.db")
    with child(HOLD, path) as holder:
        hear(holder)
        done = esprobe("sample-temp", "--engine", "scripted", "--model", script, "--problems", "0:2", "--db", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert f"process {holder.pid} on " in done.stderr


def test_a_link_to_the_database_is_the_database(tmp_path: Path) -> None:
    path, link = tmp_path / "e.db", tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with child(HOLD, path) as holder:
        hear(holder)
        with pytest.raises(StoreLockedError, match=f"process {holder.pid} "):
            RolloutWriter.open(link)


def test_a_second_name_of_one_file_is_refused(tmp_path: Path) -> None:
    with RolloutWriter.open(tmp_path / "e.db"):
        (tmp_path / "f.db").hardlink_to(tmp_path / "e.db")
        with pytest.raises(StoreError, match="f.db is one of 2 names of one file .*copy it with cp"):
            RolloutWriter.open(tmp_path / "f.db")
    assert not (tmp_path / "f.db.lock").exists()


def test_a_killed_writer_leaves_the_lock_free_and_its_commits_readable(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with child(WRITE, path, 3, "at once") as holder:
        assert [hear(holder) for _ in range(3)] == ["0", "1", "2"]
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert path.with_name("e.db-wal").stat().st_size > 0, "nothing was left to be recovered"
        with RolloutStore.open(path) as store:
            assert store.totals(1).rollouts == 3
        with RolloutWriter.open(path) as writer:
            assert writer.totals(1).rollouts == 3
            (session,) = writer.sessions()
            assert (session.pid, session.ended_utc, session.rollouts) == (holder.pid, None, 3)
    assert not path.with_name("e.db-wal").exists()


def test_a_worker_forked_by_a_killed_writer_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with child(FORK, path) as holder:
        worker = int(hear(holder))
        try:
            with pytest.raises(StoreLockedError):
                RolloutWriter.open(path)
            holder.kill()
            holder.wait()
            os.kill(worker, 0)  # still there
            RolloutWriter.open(path).close()
        finally:
            os.kill(worker, signal.SIGKILL)


def test_a_holder_that_has_not_written_its_name_yet_is_another_process(tmp_path: Path) -> None:
    path = fill(tmp_path / "e.db")
    with (tmp_path / "e.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreLockedError, match="is being written by another process; "):
            RolloutWriter.open(path)


def test_a_writer_that_is_closed_lets_the_next_one_in(tmp_path: Path) -> None:
    RolloutWriter.open(tmp_path / "e.db").close()
    with RolloutWriter.open(tmp_path / "e.db"), pytest.raises(StoreLockedError, match=f"process {os.getpid()} "):
        RolloutWriter.open(tmp_path / "e.db")


def test_a_reader_sees_each_commit_while_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with child(WRITE, path, 3, "when told") as writer:
        assert writer.stdin is not None
        hear(writer)
        with RolloutStore.open(path) as store:
            assert [known.condition for known in store.conditions()] == [WARM]
            for number in (1, 2):
                assert store.totals(1).rollouts == number
                print(file=writer.stdin, flush=True)
                assert hear(writer) == str(number)
                assert [drawn.problem for drawn in store.rollouts(1)] == list(range(number + 1))


def test_a_matrix_read_while_problems_are_being_added_is_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    with child(WRITE, path, 10_000, "in a hurry") as writer:
        hear(writer)
        sizes = []
        with RolloutStore.open(path) as store:
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                matrix = store.correctness(1)
                assert matrix.stored.shape == (len(matrix.problems), 1)
                sizes.append(matrix.stored.sum())
    assert sizes[-1] > sizes[0] + 10, "the writer was not writing"


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ("/dev/vda / ext4 rw 0 0", None),
        ("host:/x /data nfs4 rw 0 0", "nfs4"),
        ("/dev/vda / ext4 rw 0 0\nhost:/x /data nfs rw 0 0", "nfs"),
        ("host:/x /data nfs rw 0 0\n/dev/vda / ext4 rw 0 0", "nfs"),
        ("host:/x / nfs rw 0 0\n/dev/nvme0 /data ext4 rw 0 0", None),
        ("host:/x /data nfs rw 0 0\n/dev/nvme0 /data/run ext4 rw 0 0", None),
        ("/dev/vda /data ext4 rw 0 0\nhost:/x /data lustre rw 0 0", "lustre"),
        ("host:/x /data nfs rw 0 0\ntmpfs /data tmpfs rw 0 0", None),
        ("host:/x /dat nfs rw 0 0", None),
        ("host:/x /data/running nfs rw 0 0", None),
        ("me@host: /data fuse.sshfs rw 0 0", "fuse.sshfs"),
        ("share /data 9p rw 0 0", "9p"),
        ("garbage\n\nhost:/x /data cifs", "cifs"),
        ("", None),
    ],
)
def test_the_file_system_is_that_of_the_mount_that_is_seen(tmp_path: Path, mounts: str, kind: str | None) -> None:
    table = tmp_path / "mounts"
    table.write_text(mounts)
    assert network_file_system(Path("/data/run"), table) == kind


def test_a_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(r"host:/x /my\040data nfs rw 0 0")
    assert network_file_system(Path("/my data/run"), tmp_path / "mounts") == "nfs"


def test_without_a_table_of_mounts_nobody_can_tell(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "none") is None


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text("host:/x /data nfs rw 0 0")
    (tmp_path / "link.db").symlink_to("/data/run/e.db")
    assert network_file_system(tmp_path / "link.db", tmp_path / "mounts") == "nfs"
