"""The problems of a Countdown data set, each made when it is asked for.

A data set may have half a million rows, of which a command samples a few: making every problem and prompt would take
many seconds at every start.
"""

from collections.abc import Iterable, Sequence
from typing import overload

from esprobe.spec import Problem
from esprobe.tasks.countdown import prompts
from esprobe.tasks.countdown.rows import Row


class Problems(Sequence[Problem]):
    """Row i as the problem with index i."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Problem]: ...
    def __getitem__(self, index: int | slice) -> Problem | Sequence[Problem]:
        numbers = range(len(self._rows))[index]
        if isinstance(numbers, range):
            return tuple(_problem(number, self._rows[number]) for number in numbers)
        return _problem(numbers, self._rows[numbers])

    def prompt_digests(self, style: str) -> Iterable[str]:
        """The digest of each problem's prompt, in order.

        Raises:
            UsageError: no style has that name.
            DataError: the style is "raw" and a problem has no context.
        """
        if style == "chat":
            return prompts.chat_digests(self._rows)
        return (prompts.prompt(problem, style).digest for problem in self)


def _problem(index: int, row: Row) -> Problem:
    inputs: dict[str, object] = {"numbers": list(row.numbers), "target": row.target}
    if row.context is not None:
        inputs["context"] = row.context
    count = len(row.numbers)
    return Problem(index=index, inputs=inputs, group=f"{count} number{'' if count == 1 else 's'}")
