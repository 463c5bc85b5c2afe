"""Task files for tests: one that works, and the same with parts replaced."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from esprobe.tasks.files import load_file
from esprobe.tasks.files.task import FileTask

ROWS = [{"q": "1 + 1", "a": "2"}, {"q": "2 + 3", "a": "5"}, {"q": "7 * 6", "a": "42"}]
WORKS: Mapping[str, Any] = {
    "name": "sums",
    "data": "rows.jsonl",
    "prompt": {"user": "{q} = ?"},
    "answer": "{a}",
    "extract": {"after": "####"},
    "compare": "number",
}


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]] = ROWS) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_task(folder: Path, **changes: Any) -> Path:
    """A task file, in the subset of YAML that is JSON; a change to None removes the key."""
    path = folder / "task.yaml"
    path.write_text(json.dumps({key: value for key, value in {**WORKS, **changes}.items() if value is not None}))
    return path


def file_task(folder: Path, rows: Sequence[Mapping[str, Any]] = ROWS, **changes: Any) -> FileTask:
    write_rows(folder, rows)
    return load_file(write_task(folder, **changes))
