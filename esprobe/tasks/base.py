"""What a task is, written once.

A task turns a data set into problems, problems into prompts, and completions into scores. It does not know
which engine answers or where rollouts are kept. Third-party packages register a loader under the entry-point
group ``esprobe.tasks``: ``loader(data: str | None) -> Task``.
"""

from collections.abc import Sequence
from typing import Protocol

from esprobe.spec import Problem, Prompt, Score


class Task(Protocol):
    """A data set, how to prompt it and how to score an answer."""

    @property
    def name(self) -> str:
        """The name on the command line, such as "countdown"."""

    @property
    def data(self) -> str:
        """Where the rows came from, for people: a file path or a built-in set's name."""

    @property
    def data_digest(self) -> str:
        """SHA-256 over the parsed rows; equal data give equal digests wherever the file lies."""

    @property
    def problems(self) -> Sequence[Problem]:
        """Every problem of the data set; ``problems[i].index == i``."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """Names of the prompt styles, the default first."""

    @property
    def scorers(self) -> tuple[str, ...]:
        """Names and versions of the scorers, such as "es-paper/1", the default first."""

    def prompt(self, problem: Problem, style: str) -> Prompt:
        """The prompt of one problem in a style of ``prompts``."""

    def score(self, problem: Problem, completion: str, scorer: str) -> Score:
        """One scorer's verdict on a completion; never raises, whatever a model wrote."""
