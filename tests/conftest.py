"""Shared fixtures: an isolated environment, the real command line, a scripted model, the published problems."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
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


def run_esprobe(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """The command line in a process of its own, working in ``folder``."""
    command = [sys.executable, "-m", "esprobe", *map(str, arguments)]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture
def esprobe(tmp_path: Path) -> Run:
    """The command line in a process of its own, in an empty folder."""
    return partial(run_esprobe, tmp_path)


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
