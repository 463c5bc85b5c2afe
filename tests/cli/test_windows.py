"""Reading commands where the modules and signals that Windows lacks are missing; sampling says what it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.filled import fill, mixed

WITHOUT = """
import os, signal, sys
for module in ("fcntl", "resource", "pwd", "grp", "termios", "tty"):
    sys.modules[module] = None
for name in ("SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGHUP", "SIGALRM", "pthread_sigmask", "pthread_kill"):
    vars(signal).pop(name, None)
for name in ("register_at_fork", "fork", "getuid", "geteuid", "sched_getaffinity", "statvfs"):
    vars(os).pop(name, None)
from esprobe.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("windows"), mixed(), problems="200:210", samples=4)


def without_posix(folder: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WITHOUT, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ["passk"],
        ["status"],
        ["show", "--limit", "1"],
        ["compare", "T=0.8", "sigma=0.005"],
        ["report", "--no-figures", "-o", "report.md"],
        ["export", "-o", "rows.jsonl"],
        ["verify"],
        ["rescore", "--scorer", "strict/1"],
    ],
    ids=lambda words: words[0],
)
def test_a_copied_database_can_be_read(words: list[str], database: Path, tmp_path: Path) -> None:
    done = without_posix(tmp_path, *words, "--db", database)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["sample-temp", "-t", "1", "--engine", "scripted", "--model", "model.json"],
        ["rescore", "--scorer", "strict/1", "--write"],
        ["import", "x.jsonl", "--label", "x"],
    ],
    ids=lambda words: words[0],
)
def test_what_writes_says_that_it_needs_linux_or_macos(words: list[str], database: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"problem": 1, "completion": "a", "correct": true}\n')
    script = os.fspath(database.with_name("model.json"))
    done = without_posix(tmp_path, *[script if word == "model.json" else word for word in words], "--db", database)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and "Linux and macOS only" in line
