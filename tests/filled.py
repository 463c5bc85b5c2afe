"""Databases that the real command line filled with scripted texts, hostile ones among them."""

import json
import sqlite3
from itertools import islice
from pathlib import Path

from esprobe.tasks.countdown.generate import GENERATED_SEED, candidates, distinct
from tests.conftest import run_esprobe

HOSTILE = (
    "</script><script>window.hacked = 1</script><img src='https://example.org/x' onerror='window.hacked = 2'>"
    "<!--<script> \x00 \x1b[31mred \u202egnp.exe \ud800 `${window.hacked = 3}` &lt;b&gt; $$x$$"
)


def fill(
    folder: Path, script: dict[str, list[str]], *, problems: str = "200:245", samples: int = 16, commands: str = "tp"
) -> Path:
    """A database with two temperatures (t) and two sigmas (p), each arm with its baseline."""
    (folder / "model.json").write_text(json.dumps(script))
    path = folder / "filled.db"
    common = ["--engine", "scripted", "--model", "model.json", "--problems", problems, "--samples", samples]
    if "t" in commands:
        done = run_esprobe(folder, "sample-temp", *common, "-t", "0.4", "-t", "0.8", "--db", path)
        assert done.returncode == 0, done.stderr
    if "p" in commands:
        done = run_esprobe(
            folder, "sample-perturb", *common, "--sigma", "0.005", "--sigma", "0.01", "--no-baseline", "--db", path
        )
        assert done.returncode == 0, done.stderr
    return path


def mixed() -> dict[str, list[str]]:
    """A script for 45 problems: some are solved often, some seldom, some never; texts are hostile."""
    others = ["no", HOSTILE, " </think>\n<answer>1 + 1</answer>"]
    script = {"*": others}
    for place, (index, answer) in enumerate(solutions().items()):
        if place % 3:
            script[index] = [answer] + others * (place % 5)
    return script


def solutions(first: int = 200, stop: int = 245) -> dict[str, str]:
    """A right answer for each generated problem, by index."""
    rows = islice(distinct(candidates(GENERATED_SEED)), first, stop)
    return {str(first + i): f" </think>\n<answer>{row.solution}</answer>" for i, row in enumerate(rows)}


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def report(path: Path, *options: str) -> Path:
    page = path.with_suffix(".html")
    done = run_esprobe(path.parent, "report", "--db", path, "--format", "html", "-o", page, *options)
    assert done.returncode == 0, done.stderr
    return page
