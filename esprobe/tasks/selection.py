"""Which problems of a data set a slice of indices selects."""

from collections.abc import Sequence

from esprobe.errors import UsageError
from esprobe.spec import Problem
from esprobe.tasks.base import DataSet


def select_problems(data: DataSet, first: int, stop: int) -> Sequence[Problem]:
    """The problems first to stop - 1, as far as there are any.

    Raises:
        UsageError: the slice is empty or holds none of the problems.
    """
    if not 0 <= first < stop:
        raise UsageError(f"--problems {first}:{stop} selects nothing; use FIRST:STOP with FIRST < STOP")
    chosen = data.problems[first:stop]
    if not chosen:
        raise UsageError(
            f"--problems {first}:{stop} holds none of the {len(data.problems)} problems of {data.source}; "
            f"use indices below {len(data.problems)}"
        )
    return chosen


def past_the_end(data: DataSet, first: int, stop: int, option: str = "--problems") -> str | None:
    """What to tell a person whose slice asks for more than there is; None if it does not."""
    there = len(data.problems)
    if stop <= there:
        return None
    return (
        f"{option} {first}:{stop} goes past the end of {data.source}, which has {there:,} problems: "
        f"{max(there - first, 0):,} are used, not {stop - first:,}"
    )
