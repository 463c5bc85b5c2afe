"""Which of a task's problems a slice of indices selects."""

from collections.abc import Sequence

from esprobe.errors import UsageError
from esprobe.spec import Problem
from esprobe.tasks.base import Task


def select_problems(task: Task, first: int, stop: int) -> Sequence[Problem]:
    """The problems first to stop - 1, as far as there are any.

    Raises:
        UsageError: the slice is empty or holds none of the task's problems.
    """
    if not 0 <= first < stop:
        raise UsageError(f"--problems {first}:{stop} selects nothing; use FIRST:STOP with FIRST < STOP")
    chosen = task.problems[first:stop]
    if not chosen:
        raise UsageError(
            f"--problems {first}:{stop} holds none of the {len(task.problems)} problems of {task.data}; "
            f"use indices below {len(task.problems)}"
        )
    return chosen


def past_the_end(task: Task, first: int, stop: int) -> str | None:
    """What to tell a person whose slice asks for more than there is; None if it does not."""
    there = len(task.problems)
    if stop <= there:
        return None
    return (
        f"--problems {first}:{stop} goes past the end of {task.data}, which has {there:,} problems: "
        f"{there - first:,} are used, not {stop - first:,}"
    )
