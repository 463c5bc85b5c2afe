"""One digest over all prompts of a data set.

Owns how prompts are joined to one digest, which is part of every stored condition and must never change.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from esprobe.cache import cache_folder, read_entry, write_entry
from esprobe.spec import digest_of
from esprobe.tasks.base import DataSet, Task

LEAST_REMEMBERED = 20_000
"""Prompts from which on their digest is remembered between runs: half a million take three quarters of a second."""

_EXAMPLES = 200
"""Prompts that are made at every start, to see that the task still words them as it did."""


@runtime_checkable
class DigestedPrompts(Protocol):
    """What a data set's problems may have besides: digests of all their prompts, faster than by making each prompt.

    It promises that prompts are made from the rows alone, by one rule for all, so that their digest may be remembered.
    """

    def prompt_digests(self, style: str) -> Iterable[str]:
        """``task.prompt(problem, style).digest`` of every problem, in order.

        Raises:
            EsprobeError: a problem has no prompt of that style.
        """


def prompts_digest(task: Task, data: DataSet, style: str) -> str:
    """SHA-256 (64 hexadecimal digits) over the digests of the prompts of all problems.

    Raises:
        EsprobeError: a problem has no prompt of that style.
    """
    problems = data.problems
    if not isinstance(problems, DigestedPrompts):
        return digest_of([task.prompt(problem, style).digest for problem in problems])
    if len(data.problems) < LEAST_REMEMBERED:
        return digest_of(list(problems.prompt_digests(style)))
    key = _key(task, data, style)
    if (known := _known(key)) is None:
        known = digest_of(list(problems.prompt_digests(style)))
        write_entry(_entry(key), {"prompts": known, "check": digest_of([key, known])})
    return known


def _key(task: Task, data: DataSet, style: str) -> str:
    """Names the data, and how the task words prompts, by prompts from all over the data."""
    step = len(data.problems) // _EXAMPLES
    examples = (data.problems[index] for index in range(0, len(data.problems), step))
    return digest_of([task.name, style, data.digest, [task.prompt(problem, style).digest for problem in examples]])


def _entry(key: str) -> Path:
    return cache_folder() / "prompts" / f"{key[:32]}.json"


def _known(key: str) -> str | None:
    """The remembered digest; the check sees a damaged entry, which would be another condition's digest."""
    stored = read_entry(_entry(key))
    digest = stored.get("prompts")
    return digest if isinstance(digest, str) and stored.get("check") == digest_of([key, digest]) else None
