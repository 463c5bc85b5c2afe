"""Tasks by name: the built-in one, and those that other packages register under ``esprobe.tasks``."""

from importlib import import_module

from esprobe.errors import UsageError
from esprobe.tasks.base import AnswerForms, Audited, ContentKeyed, DataSet, Guessable, Task

__all__ = ["AnswerForms", "Audited", "ContentKeyed", "DataSet", "Guessable", "Task", "load_task"]

BUILT_IN = {"countdown": "esprobe.tasks.countdown:load"}


def load_task(name: str) -> Task:
    """The task called ``name``; no data set is read.

    Raises:
        UsageError: no task of that name is installed.
    """
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        task: Task = getattr(import_module(module), function)()
        return task
    from importlib.metadata import entry_points  # slow to import, and built-in tasks need no look-up

    registered = {point.name: point for point in entry_points(group="esprobe.tasks")}
    if name not in registered:
        known = ", ".join(sorted({*BUILT_IN, *registered}))
        raise UsageError(f"no task is called {name!r}, so there is nothing to prompt or score; known tasks: {known}")
    task = registered[name].load()()
    return task
