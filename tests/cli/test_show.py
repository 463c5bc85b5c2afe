"""``show``: what is chosen, what is shown, and that nothing a model wrote acts on the terminal."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run, run_esprobe

HOSTILE = (
    " [bold red]markup[/] [link=http://x]l[/link] :smile: \x1b[2J\x1b]0;title\x07\x1b[31mred "
    "a\rb\x08c \x9b31m \u202eright-to-left\u2066 tab\there\u2028line\x00end\n</think>\n<answer>1 + 2</answer>\n\n"
)
TEXTS = {"*": ["plain", HOSTILE, "<answer>two</answer>"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two conditions and a baseline over ten problems; nothing here changes it."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "model.json").write_text(json.dumps(TEXTS))
    common = ["--engine", "scripted", "--model", "model.json", "--problems", "200:210", "--samples", "6"]
    assert run_esprobe(folder, "sample-temp", *common, "-t", "0.4", "-t", "0.8").returncode == 0
    return folder


def lines(folder: Path, *arguments: object) -> list[dict]:
    done = run_esprobe(folder, "show", "--format", "jsonl", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def keys(found: list[dict]) -> list[tuple[int, int, int]]:
    return [(one["condition"], one["seed"], one["problem"]) for one in found]


def stored(folder: Path, where: str = "1") -> list[tuple[int, int, int]]:
    with sqlite3.connect(folder / "esprobe.db") as connection:
        query = f"SELECT condition, seed, problem FROM rollouts WHERE {where} ORDER BY 1, 2, 3"
        found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["--condition", "greedy", "--condition", "2", "--incorrect"], "condition IN (1, 2) AND NOT correct"),
        (["--problem", "203", "--seed", "44", "--condition", "T=0.8"], "problem = 203 AND seed = 44 AND condition = 3"),
        (["--problem", "203"], "problem = 203"),
    ],
)
def test_options_choose_what_sql_would(folder: Path, arguments: list[str], where: str) -> None:
    everything = stored(folder, where)
    assert 0 < len(everything) < 130
    assert keys(lines(folder, *arguments, "--limit", "1000")) == everything


def test_an_object_holds_all_that_is_stored(folder: Path) -> None:
    (one,) = lines(folder, "--problem", "200", "--seed", "43", "--condition", "T=0.4")
    with sqlite3.connect(folder / "esprobe.db") as connection:
        query = (
            "SELECT completion, reward, correct, answer, failure, token_count, finish_reason, session FROM rollouts "
            "WHERE problem = 200 AND seed = 43 AND condition = 2"
        )
        row = connection.execute(query).fetchone()
        (prompt,) = connection.execute("SELECT prompt FROM problem WHERE problem_index = 200").fetchone()
    connection.close()
    names = ("completion", "reward", "correct", "answer", "failure", "token_count", "finish_reason", "session")
    assert tuple(one[name] for name in names) == row
    assert one["prompt"] == json.loads(prompt)
    assert (one["label"], one["group"], one["inputs"]["target"]) == ("T=0.4", "4 numbers", "75")
    document = json.loads(run_esprobe(folder, "show", "--format", "json", "--limit", "3").stdout)
    assert document["schema"] == 1
    assert document["rollouts"] == lines(folder, "--limit", "3")


def shown_hostile(folder: Path) -> str:
    seeds = [
        one["seed"] for one in lines(folder, "--condition", "2", "--problem", "200") if one["completion"] == HOSTILE
    ]
    return str(seeds[0])


def test_text_shows_everything_and_nothing_acts(folder: Path) -> None:
    seed = shown_hostile(folder)
    done = run_esprobe(folder, "show", "--condition", "2", "--problem", "200", "--seed", seed)
    text = done.stdout
    assert {c for c in text if not c.isprintable()} == {"\n"}
    for piece in (
        "[bold red]markup[/] [link=http://x]l[/link] :smile:",
        r"\x1b[2J\x1b]0;title\x07\x1b[31mred",
        r"a\rb\x08c",
        r"\x9b31m",
        r"\u202eright-to-left\u2066",
        r"\u2028line\x00end",
        "tab    here",
        "Let me solve this step by step.",
        "--- system",
        "--- user",
        "target 75",
    ):
        assert piece in text, piece
    head = text.splitlines()[0]
    assert head.startswith(f"=== problem 200 (4 numbers) | condition 2 (T=0.4) | seed {seed} | wrong: numbers | ")
    raw = run_esprobe(folder, "show", "--format", "json").stdout
    assert raw.isascii() and not {c for c in raw if not c.isprintable()} - {"\n"}


def test_more_and_nothing_are_said_on_stderr(folder: Path) -> None:
    some = run_esprobe(folder, "show", "--limit", "5", "--offset", "20")
    assert some.stderr == "5 shown, more follow: add --offset 25\n"
    last = run_esprobe(folder, "show", "--limit", "5", "--offset", "125")
    assert last.stderr == ""
    for arguments in (["--problem", "999"], ["--offset", "130"]):
        none = run_esprobe(folder, "show", *arguments)
        assert (none.returncode, none.stdout) == (0, "")
        assert none.stderr.startswith("no rollout in esprobe.db matches")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--limit", "0"], 2, "--limit must be at least 1"),
        (["--offset", "-1"], 2, "--offset must be at least 0"),
        (["--problem", "-3"], 2, "--problem must be at least 0"),
        (["--seed", str(2**63)], 2, "--seed must be"),
        (["--condition", "T=9"], 2, "--condition T=9 is not in this database"),
        (["--db", "absent.db"], 1, "there is no database at absent.db"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_line(folder: Path, arguments: list[str], code: int, said: str) -> None:
    done = run_esprobe(folder, "show", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def on_a_terminal(folder: Path, pager: str, *arguments: str) -> str:
    """What a person would see: the command with a terminal for all its streams."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "esprobe", "show", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    environment |= {"PAGER": pager, "TERM": "xterm-256color", "COLUMNS": "200"}
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # the other side has closed: how Linux ends a terminal
                break
        assert process.wait(timeout=60) == 0
    os.close(ours)
    return seen.decode()


def test_a_terminal_gets_a_pager_and_only_our_own_colours(folder: Path) -> None:
    seed = shown_hostile(folder)
    choice = ["--condition", "2", "--problem", "200", "--seed", seed]
    seen = on_a_terminal(folder, f"tee {folder / 'paged.txt'}", *choice)
    paged = (folder / "paged.txt").read_text()
    assert paged and paged in seen.replace("\r\n", "\n")
    escapes = {part.split("m")[0] for part in paged.split("\x1b[")[1:]}
    assert escapes <= {"0", "1", "2", "31", "32", "36"}  # bold, dim and three colours of ours
    assert escapes >= {"0", "1", "31"}
    for dangerous in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e", "\x08", "\x00"):
        assert dangerous not in seen.replace("\x1b[0m", "")
    assert "[bold red]markup[/]" in paged and ":smile:" in paged


def test_a_pipe_gets_plain_text_and_no_pager(esprobe: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "false")
    monkeypatch.delenv("NO_COLOR")
    done = run_esprobe(folder, "show", "--limit", "2")
    assert done.returncode == 0
    assert done.stdout.count("=== problem") == 2
    assert "\x1b" not in done.stdout
