"""The values of ``import --trust``; a module of its own, so that the command line's help loads nothing else."""

from enum import StrEnum


class Trust(StrEnum):
    """Whose verdicts are stored where a file has some and a task is given."""

    file = "file"
    task = "task"
