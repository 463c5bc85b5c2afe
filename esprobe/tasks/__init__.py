"""Tasks by name: built-in ones, those that other packages register under ``esprobe.tasks``, and those in a file."""

import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from esprobe.errors import DataError, EsprobeError, TaskError, UsageError
from esprobe.tasks.base import (
    AnswerForms,
    Audited,
    ContentKeyed,
    DataSet,
    GoldAnswered,
    Guessable,
    SlowScored,
    Task,
    TaskDefaults,
    VerdictKeyed,
    WithDefaults,
)

__all__ = [
    "AnswerForms",
    "Audited",
    "ContentKeyed",
    "DataSet",
    "GoldAnswered",
    "Guessable",
    "SlowScored",
    "Task",
    "TaskDefaults",
    "VerdictKeyed",
    "WithDefaults",
    "is_task_file",
    "load_task",
    "register",
    "task_defaults",
    "task_location",
]

BUILT_IN = {"countdown": "esprobe.tasks.countdown:load"}

FILES = Path(__file__).parent / "built_in"
"""Task files of the package: the task NAME is NAME.yaml."""

_registered: dict[str, Task] = {}


def load_task(name: str) -> Task:
    """The task called ``name``, or in the task file ``FILE.yaml`` or the file ``FILE.py:NAME``; no data set is read.

    Raises:
        DataError: the task file has a mistake, or the name of a built-in task.
        LibraryError: a library that the task file needs is not installed.
        TaskError: its code fails.
        UsageError: no task of that name is installed.
    """
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        task: Task = getattr(import_module(module), function)()
        return task
    if name in _registered:
        return _registered[name]
    from esprobe.tasks.guarded import describe, guarded
    from esprobe.tasks.python_file import absolute, is_location, load_object

    files = {path.stem: path for path in FILES.glob("*.yaml")}
    if is_task_file(name):
        path = Path(name).expanduser()
        loaded = _load_file(path)
        if loaded.name in {*BUILT_IN, *files} and path.resolve().parent != FILES.resolve():
            raise DataError(
                f"task file {name}: name is {loaded.name!r}, as a built-in task's is, whose scorers other commands "
                f"would use; rename it"
            )
        return guarded(loaded, name, task_location(name))
    if name in files:
        return _load_file(files[name])
    if is_location(name):
        return guarded(_made(load_object(name), name), name, absolute(name))
    from importlib.metadata import entry_points  # slow to import, and built-in tasks need no look-up

    points = {point.name: point for point in entry_points(group="esprobe.tasks")}
    if name not in points:
        known = ", ".join(sorted({*BUILT_IN, *files, *_registered, *points}))
        raise UsageError(
            f"no task is called {name!r}, so there is nothing to prompt or score; known tasks: {known}. A task in a "
            f"file of your own is --task ./FILE.yaml or ./FILE.py:NAME"
        )
    try:
        with redirect_stdout(sys.stderr):  # what a package prints is no result of a command
            load = points[name].load()
    except EsprobeError:
        raise
    except (Exception, SystemExit) as error:
        raise TaskError(
            f"task {name} cannot be loaded from {points[name].value}: {describe(error)}; correct the package, or "
            f"install what it lacks"
        ) from error
    return guarded(_made(load, name), name)


def register(task: Task) -> None:
    """Make a task object known to this process under its name, for a notebook.

    Other processes do not know it: sample with one worker, or write the task into a file and use ``FILE.py:NAME``.

    Raises:
        UsageError: a built-in task has that name.
    """
    from esprobe.tasks.guarded import guarded

    made = guarded(task, type(task).__name__)
    if made.name in BUILT_IN:
        raise UsageError(f"a built-in task is called {made.name!r}, so this one would never be found; rename it")
    _registered[made.name] = made


def task_location(name: str) -> str:
    """How other processes load the task: the absolute path of a task in a file, else its name."""
    from esprobe.tasks.python_file import absolute, is_location

    if is_task_file(name):
        return str(Path(name).expanduser().absolute())
    return absolute(name) if is_location(name) else name


def is_task_file(name: str) -> bool:
    """Whether a task's name is the path of a task file."""
    return name.endswith((".yaml", ".yml"))


def task_defaults(task: Task) -> TaskDefaults:
    """What the task would have options be where nobody gives them; nothing for a task that does not say."""
    return task.defaults if isinstance(task, WithDefaults) else TaskDefaults()


def _load_file(path: Path) -> Task:
    from esprobe.tasks.files import load_file  # which Countdown does not need

    return load_file(path)


def _made(load: object, name: str) -> object:
    """What a loader returns; an object that is no loader is the task itself."""
    from esprobe.tasks.guarded import describe

    if isinstance(load, type) or (callable(load) and not hasattr(load, "score")):
        try:
            with redirect_stdout(sys.stderr):
                return load()
        except EsprobeError:
            raise
        except (Exception, SystemExit) as error:
            raise TaskError(
                f"task {name} cannot be loaded: {describe(error)}; correct it, or install what it lacks"
            ) from error
    return load
