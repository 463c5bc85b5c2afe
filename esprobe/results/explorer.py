"""What the HTML report's explorer shows: every problem with its counts, and some of its completions."""

from dataclasses import dataclass

COMPLETIONS = 8
"""Default number of completions of each problem in the page."""

LONGEST = 1000
"""Default number of characters of each completion in the page."""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """One completion, or as much of it as the page holds.

    Attributes:
        condition: id of its condition.
        seed: of its draw.
        correct: the scorer's verdict.
        answer: the canonical answer; None if the scorer found none.
        failure: a word of the scorer's failure taxonomy; None if correct.
        tokens: generated.
        finish: why it ended.
        text: the completion; of a long one the beginning and the end, with a sentence in place of the middle.
    """

    condition: int
    seed: int
    correct: bool
    answer: str | None
    failure: str | None
    tokens: int
    finish: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ExploredProblem:
    """One problem.

    Attributes:
        name: its index, and where indices of several data sets meet, the data set's digest shortened.
        group: its class.
        inputs: what is asked, in a line.
        n: stored rollouts of each condition, in the order of ``Explorer.conditions``.
        c: correct ones of each.
        excerpts: in the order of display.
    """

    name: str
    group: str
    inputs: str
    n: tuple[int, ...]
    c: tuple[int, ...]
    excerpts: tuple[Excerpt, ...]


@dataclass(frozen=True)
class Explorer:
    """All problems of a report.

    Attributes:
        conditions: ids, in the order of every problem's counts.
        problems: by index.
        most: largest number of completions of one problem.
        longest: largest number of characters of a completion.
    """

    conditions: tuple[int, ...]
    problems: tuple[ExploredProblem, ...]
    most: int
    longest: int = LONGEST
