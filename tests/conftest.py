"""Shared fixtures: an isolated environment, the real command line, a scripted model, the published problems."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PUBLISHED = REPOSITORY.parent / "shared" / "data" / "countdown.json"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of the person who runs the tests reaches them; no test reaches a hub."""
    for name in list(os.environ):
        if name.startswith("ESPROBE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ESPROBE_CACHE", str(tmp_path_factory.getbasetemp() / "esprobe-cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    # Threads that wait for each other spin; several processes on two cores would spend their time on that.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def published() -> Path:
    """The published Countdown file, where it is at hand."""
    if not PUBLISHED.is_file():
        pytest.skip("the published countdown.json is not beside this checkout (its licence keeps it out of it)")
    return PUBLISHED


def run_process(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """The command line in a process of its own, working in ``folder``: where exits, signals or imports are tested."""
    command = [sys.executable, "-m", "esprobe", *map(str, arguments)]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=300)


def run_esprobe(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """The command line in this process, working in ``folder``: a process of its own takes a second to start.

    What is no error of esprobe's surfaces as the exception it is.
    """
    from esprobe.cli.main import main

    words = ["esprobe", *map(str, arguments)]
    out, err, before = _captured(), _captured(), sys.argv
    code = 0
    sys.argv = words
    try:
        with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            finally:
                sys.stdout.flush()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = before
    return subprocess.CompletedProcess(words, code, _read(out), _read(err))


def _captured() -> io.TextIOWrapper:
    """A stream over a real file, as a shell's redirection gives a process."""
    return io.TextIOWrapper(tempfile.TemporaryFile(), encoding="utf-8")


def _read(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    with stream:
        return stream.read()


@pytest.fixture
def esprobe(tmp_path: Path) -> Run:
    """The command line in this process, in an empty folder."""
    return partial(run_esprobe, tmp_path)


@pytest.fixture
def process(tmp_path: Path) -> Run:
    """The command line in a process of its own, in an empty folder."""
    return partial(run_process, tmp_path)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A scripted model: four texts, of which one is a well-formed answer."""
    path = tmp_path / "script.json"
    texts = [
        " </think>\n<answer> 1 + 2 </answer>",
        " I am not sure.",
        " </think>\n<answer> twelve </answer>",
        " so many words " * 20,
    ]
    path.write_text(json.dumps({"*": texts}))
    return path
