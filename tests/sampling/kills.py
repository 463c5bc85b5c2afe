"""Commands in processes of their own, and the processes below them: for tests that kill."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sampling.material import query


def hear_hangups() -> None:
    """For a child process: SIGHUP ends it again, also where the tests run under nohup, which ignores it for all."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def descendants(ancestor: int) -> dict[int, str]:
    """The command line of each process below one, by process id."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has ended meanwhile
    found: dict[int, str] = {}
    below = {ancestor}
    while below:
        below = {pid for pid, parent in parents.items() if parent in below}
        found |= {pid: lines.get(pid, "") for pid in below}
    return found


def stored(db: Path) -> int:
    if not db.exists() or not query(db, "SELECT 1 FROM sqlite_schema WHERE name = 'rollout'"):
        return 0
    ((number,),) = query(db, "SELECT count(*) FROM rollout")
    assert isinstance(number, int)
    return number


@contextmanager
def running(command: list[object], db: Path, more: int) -> Iterator["subprocess.Popen[str]"]:
    """The command, once it has stored so many rollouts."""
    words = [sys.executable, "-m", "esprobe", *map(str, command), "--db", str(db)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 240
            while stored(db) < more:
                assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
                assert time.monotonic() < until
                time.sleep(0.05)
            yield process
        finally:
            process.kill()
