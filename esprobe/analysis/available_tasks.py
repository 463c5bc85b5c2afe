"""The tasks of a database, as far as they can be loaded here: without its task a database can still be analysed."""

from collections.abc import Sequence
from functools import cache

from esprobe.analysis.loaded import Loaded
from esprobe.errors import EsprobeError, UsageError
from esprobe.results.notes import UnavailableTask
from esprobe.tasks import Task, load_task


def find_task(name: str) -> Task | None:
    """The task of that name; None if it cannot be loaded, which ``unavailable_tasks`` reports."""
    found = _load(name)
    return None if isinstance(found, UnavailableTask) else found


def unavailable_tasks(loaded: Sequence[Loaded]) -> tuple[UnavailableTask, ...]:
    """The tasks of the conditions that cannot be loaded, and why."""
    found = (_load(name) for name in dict.fromkeys(one.condition.task for one in loaded))
    return tuple(task for task in found if isinstance(task, UnavailableTask))


@cache
def _load(name: str) -> Task | UnavailableTask:
    try:
        return load_task(name)
    except UsageError:
        return UnavailableTask(name, None)
    except EsprobeError as error:
        return UnavailableTask(name, str(error))
