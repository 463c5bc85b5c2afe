"""The tasks of a database, as far as they can be loaded here: without its task a database can still be analysed."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache

from esprobe.analysis.loaded import Loaded
from esprobe.errors import EsprobeError, UsageError
from esprobe.results.notes import UnavailableTask
from esprobe.store import RolloutStore
from esprobe.store.sessions import TaskFile
from esprobe.tasks import Task, is_task_file, load_task

_files: dict[str, TaskFile] = {}


def learn_task_files(store: RolloutStore) -> None:
    """Have tasks that were sampled from a file of Python found there; call it before ``find_task``."""
    found = store.task_files()
    if any(_files.get(name) != file for name, file in found.items()):
        _files.update(found)
        _load.cache_clear()


def find_task(name: str) -> Task | None:
    """The task of that name; None if it cannot be loaded, which ``unavailable_tasks`` reports."""
    found = _load(name)
    return None if isinstance(found, UnavailableTask) else found


def unavailable_tasks(
    loaded: Sequence[Loaded], nulls: Collection[str] = (), failures: Mapping[str, str] | None = None
) -> tuple[UnavailableTask, ...]:
    """The tasks of the conditions that cannot be loaded or have failed, and why.

    Args:
        loaded: the conditions.
        nulls: tasks whose curve of guessing is known nevertheless.
        failures: what went wrong, by the name of the task, where one could be loaded.
    """
    failures = failures or {}
    found = []
    for name in dict.fromkeys(one.condition.task for one in loaded):
        task = _load(name)
        if isinstance(task, UnavailableTask):
            found.append(UnavailableTask(name, task.reason, has_null=name in nulls))
        elif name in failures:
            found.append(UnavailableTask(name, failures[name], has_null=name in nulls))
    return tuple(found)


@cache
def _load(name: str) -> Task | UnavailableTask:
    try:
        try:
            return load_task(name)
        except UsageError:
            return UnavailableTask(name, None) if name not in _files else _from_file(name, _files[name])
    except EsprobeError as error:
        return UnavailableTask(name, str(error))


def _from_file(name: str, file: TaskFile) -> Task | UnavailableTask:
    """A task from the file that it was sampled from, if that is still the same."""
    from esprobe.tasks.python_file import digest_at
    from esprobe.tasks.source import source_digest

    if is_task_file(file.location):  # what in it decides no verdict may change; loading it runs no code
        task = load_task(file.location)
        digest = source_digest(task)
    else:
        digest = digest_at(file.location)
    if digest not in file.digests:
        return UnavailableTask(name, f"{file.location} has changed since it was sampled from")
    return load_task(file.location)
