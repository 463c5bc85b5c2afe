"""Standard output that is full, closed or left by its reader: one line at most, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run, run_esprobe

COMMANDS = [
    ["--help"],
    ["passk"],
    ["report"],
    ["show"],
    ["show", "--format", "json"],
    ["rescore", "--scorer", "strict/1"],
    ["data", "check"],
]

every = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
some = pytest.mark.parametrize("command", COMMANDS[1:4], ids=" ".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database; nothing here changes it."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "script.json").write_text(json.dumps({"*": ["<answer>1 + 2</answer>", "no"]}))
    drawn = ["--engine", "scripted", "--model", "script.json", "--problems", "200:205", "--samples", "2", "-t", "1"]
    assert run_esprobe(folder, "sample-temp", *drawn).returncode == 0
    return folder


def run(folder: Path, command: list[str], stdout: int) -> "subprocess.CompletedProcess[str]":
    typed = [sys.executable, "-m", "esprobe", *command]
    return subprocess.run(typed, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False)


@every
def test_a_full_disk_is_said_in_one_line(folder: Path, command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = run(folder, command, full.fileno())
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output cannot be written (No space left on device)")
    assert done.stderr.count("\n") == 1, done.stderr


@some
def test_a_reader_that_has_gone_ends_a_command_without_a_word(folder: Path, command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(folder, command, writing)
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


@some
def test_a_closed_output_is_refused_before_anything_is_done(folder: Path, command: list[str]) -> None:
    typed = " ".join([sys.executable, "-m", "esprobe", *command])
    done = subprocess.run(
        ["sh", "-c", f"{typed} >&-"], cwd=folder, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output is closed")
    assert done.stderr.count("\n") == 1


def test_what_was_drawn_is_stored_though_nobody_can_be_told(esprobe: Run, tmp_path: Path, script: Path) -> None:
    command = ["sample-temp", "--engine", "scripted", "--model", str(script), "--problems", "200:210", "--samples", "4"]
    with open("/dev/full", "w") as full:
        done = run(tmp_path, [*command, "-t", "1"], full.fileno())
    assert done.returncode == 1
    assert "what is stored stays stored" in done.stderr.splitlines()[-1]
    again = esprobe(*command, "-t", "1")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "nothing to do: all 50 rollouts are in esprobe.db")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose names and texts have characters of many scripts."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "\u30e2\u30c7\u30eb.json").write_text(
        json.dumps({"*": ["\u043e\u0442\u0432\u0435\u0442 \u2713 \u65e5", "<answer>1</answer>"]})
    )
    common = [
        "--engine",
        "scripted",
        "--model",
        "\u30e2\u30c7\u30eb.json",
        "--problems",
        "200:205",
        "--db",
        "\u65e5.db",
    ]
    assert run_esprobe(folder, "sample-temp", "-t", "1", "--samples", "3", *common).returncode == 0
    assert run_esprobe(folder, "sample-perturb", "--sigma", "0.1", "--samples", "3", *common).returncode == 0
    return folder


ANYTHING = [
    [
        "sample-temp",
        "-t",
        "1",
        "--samples",
        "4",
        "--engine",
        "scripted",
        "--model",
        "\u30e2\u30c7\u30eb.json",
        "--problems",
        "200:205",
    ],
    *(
        ["passk"],
        ["passk", "--format", "markdown"],
        ["compare", "T=1", "sigma=0.1"],
        ["report"],
        ["report", "--format", "csv"],
    ),
    *(["report", "-o", "\u65e5.md"], ["show"], ["show", "--format", "jsonl"], ["status"], ["verify"], ["export"]),
    *(["rescore", "--scorer", "strict/1"], ["backup", "\u65e5-copy.db", "--overwrite"]),
]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])  # Typer takes ASCII for a mistake and prints UTF-8
@pytest.mark.parametrize("command", ANYTHING, ids=lambda words: " ".join(words[:3]))
def test_characters_that_an_encoding_lacks_are_escaped(
    foreign: Path, command: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    typed = [sys.executable, "-m", "esprobe", *command, "--db", "\u65e5.db"]
    done = subprocess.run(typed, cwd=foreign, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    text = done.stdout.decode(encoding)
    if command == ["show"]:
        assert "\\u043e\\u0442\\u0432\\u0435\\u0442" in text
