"""Tasks by name: the built-in one, and those that other packages register under ``esprobe.tasks``."""

from importlib import import_module
from importlib.metadata import entry_points

from esprobe.errors import UsageError
from esprobe.tasks.base import AnswerForms, Audited, Guessable, Task

__all__ = ["AnswerForms", "Audited", "Guessable", "Task", "load_task"]

BUILT_IN = {"countdown": "esprobe.tasks.countdown:load"}


def load_task(name: str, data: str | None = None) -> Task:
    """The task called ``name`` over ``data`` (a built-in set's name or a path; None for the task's default).

    Raises:
        UsageError: no task of that name is installed.
        DataError: the data cannot be read or are not of the form the task needs.
    """
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        task: Task = getattr(import_module(module), function)(data)
        return task
    registered = {point.name: point for point in entry_points(group="esprobe.tasks")}
    if name not in registered:
        known = ", ".join(sorted({*BUILT_IN, *registered}))
        raise UsageError(f"no task is called {name!r}, so there is nothing to prompt or score; known tasks: {known}")
    task = registered[name].load()(data)
    return task
