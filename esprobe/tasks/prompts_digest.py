"""One digest over all prompts of a data set.

Owns how prompts are joined to one digest, which is part of every stored condition and must never change.
"""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from esprobe.spec import digest_of
from esprobe.tasks.base import DataSet, Task


@runtime_checkable
class DigestedPrompts(Protocol):
    """What a data set's problems may have besides: digests of all their prompts, faster than by making each prompt."""

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
    if isinstance(problems, DigestedPrompts):
        return digest_of(list(problems.prompt_digests(style)))
    return digest_of([task.prompt(problem, style).digest for problem in problems])
