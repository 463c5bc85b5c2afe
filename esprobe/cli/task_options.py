"""What options are where nobody gives them: as the task would have it.

Importing it loads no task; a task's data are read only where its slices depend on how many rows there are.
"""

from typing import TYPE_CHECKING

from esprobe import defaults
from esprobe.cli.options import parse_slice
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.tasks import Task, TaskDefaults


class TaskOptions:
    """The defaults of one task on one data set."""

    def __init__(self, task: str, data: str | None) -> None:
        """Load the task.

        Raises:
            EsprobeError: there is no such task, or it cannot be loaded.
        """
        from esprobe.tasks import load_task, task_defaults

        self._task: Task = load_task(task)
        self._data = data
        self._own: TaskDefaults = task_defaults(self._task)

    def problems(self, given: str | None, option: str = "--problems", most: int | None = None) -> tuple[int, int]:
        """First and stop index of the problems to sample: as given, else the task's test problems.

        Args:
            given: the option's value.
            option: its name, for messages.
            most: how many of the task's test problems are enough.

        Raises:
            UsageError: the value is not a slice.
            EsprobeError: the task's data cannot be read.
        """
        if given is not None:
            return parse_slice(given, option)
        if (own := self._own.problems) is None:
            own = self._own.sampled(len(self._task.data_set(self._data).problems))
        first, stop = own
        return first, stop if most is None else min(stop, first + most)

    def training(self, given: str | None) -> tuple[int, int]:
        """First and stop index of the problems to train on: as given, else the task's.

        Raises:
            UsageError: the value is not a slice, or the task has no training problems of its own.
        """
        if given is not None:
            return parse_slice(given)
        if self._own.training is None:
            raise UsageError(
                f"task {self._task.name} names no training problems, so it is unclear what to train on; "
                "give --problems, such as --problems 0:200"
            )
        return self._own.training

    def max_tokens(self, given: int | None) -> int:
        """Tokens after which a completion is cut off: as given, else the task's, else esprobe's own."""
        return next(value for value in (given, self._own.max_tokens, defaults.MAX_TOKENS) if value is not None)

    def prompt(self, given: str | None) -> str:
        """The prompt style: as given, else the task's first."""
        return given if given is not None else self._task.prompts[0]
