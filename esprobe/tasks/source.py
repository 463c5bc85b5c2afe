"""The digest of a task's source: a scorer that was edited under its old name is another scorer."""

import hashlib
import inspect
import sys
from pathlib import Path
from typing import Any

from esprobe.tasks.base import Task
from esprobe.tasks.guarded import GuardedTask


def source_digest(task: Task) -> str | None:
    """SHA-256 (hex) of the Python code that a task from outside esprobe is made of.

    That is its file, or all files of its package. A task may say its own with an attribute ``source_digest``. None for
    esprobe's own tasks, whose scorers have versions, and where there is no source.
    """
    if not isinstance(task, GuardedTask):
        return None
    said = getattr(task.inner, "source_digest", None)
    if isinstance(said, str):
        return said
    kind = type(task.inner)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None:
        return _digest_of_class(kind)
    return _digest_of_files(Path(file), kind.__module__)


def task_file(task: Task) -> str | None:
    """The ``FILE.py:NAME`` that a task was loaded from; None of one from a package."""
    return task.file if isinstance(task, GuardedTask) else None


def _digest_of_files(file: Path, module: str) -> str:
    package, _, inside = module.partition(".")
    folder = getattr(sys.modules.get(package), "__path__", None)
    if not (inside or folder):
        return hashlib.sha256(file.read_bytes()).hexdigest()
    found = hashlib.sha256()
    for root in sorted(map(Path, folder or [file.parent])):
        for path in sorted(root.rglob("*.py")):
            found.update(f"{path.relative_to(root).as_posix()}\0".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _digest_of_class(kind: type[Any]) -> str | None:
    """Of a class that was typed into a notebook."""
    try:
        return hashlib.sha256(inspect.getsource(kind).encode()).hexdigest()
    except (OSError, TypeError):
        return None
