"""Small runs of the real command line and the real loop, on the scripted engine."""

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from esprobe.cli.main import main
from esprobe.sampling.job import Job
from esprobe.sampling.observer import Progress

ANSWER = " </think>\n<answer> 1 + 2 </answer>"


def write_data(path: Path, count: int) -> Path:
    """Problems of which only the first is solved by the scripted answer."""
    rows = [{"numbers": [1, 2], "target": "3", "context": "[1 2] 3"}] + [
        {"numbers": [1, 2, i], "target": "98", "context": f"[1 2 {i}] 98"} for i in range(1, count)
    ]
    path.write_text(json.dumps(rows))
    return path


def write_script(path: Path, *texts: str, **by_problem: list[str]) -> Path:
    path.write_text(json.dumps({"*": texts} | {key.removeprefix("p"): value for key, value in by_problem.items()}))
    return path


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def invoke(*arguments: object) -> Done:
    """The command line in this process, to save a second a test; a bug surfaces as the exception it is."""
    out, err, before = StringIO(), StringIO(), sys.argv
    sys.argv = ["esprobe", *map(str, arguments)]
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = before
    return Done(code, out.getvalue(), err.getvalue())


def job(script: Path, data: Path, **changes: object) -> Job:
    settings: dict[str, object] = {
        "command": "esprobe sample-temp",
        "model": str(script),
        "engine": "scripted",
        "task": "countdown",
        "data": str(data),
        "problems": (0, 10),
        "samples": 4,
        "seed": 42,
        "max_tokens": 32,
        "dtype": "auto",
        "prompt": "chat",
        "baseline": True,
        "temperatures": (1.0,),
    }
    return Job(**(settings | changes))  # type: ignore[arg-type]


class Watcher:
    """An observer that remembers what it was told, and may do something at each report of progress."""

    def __init__(self, at_progress: Callable[[Progress], None] = lambda progress: None) -> None:
        self.notices: list[str] = []
        self.warnings: list[str] = []
        self.seen: list[Progress] = []
        self._at_progress = at_progress

    def notice(self, message: str) -> None:
        self.notices.append(message)

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)
        self._at_progress(progress)


def query(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def rows(path: Path, samples: int = 10**6) -> list[tuple[object, ...]]:
    """Everything that a rollout is, for comparing two databases: sessions and ids left out."""
    return query(
        path,
        "SELECT digest, problem, seed, completion, reward, correct, answer, failure, token_count, finish_reason "
        "FROM rollouts JOIN condition ON condition.id = condition WHERE seed < 42 + ? ORDER BY 1, 2, 3",
        samples,
    )
