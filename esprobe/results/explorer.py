"""What the page's explorer shows: every problem with its counts, and some of its completions.

Does not know the store: texts are handed in.
"""

from dataclasses import dataclass

COMPLETIONS = 8
"""Completions of each problem that a page holds where nothing else is asked for."""

LONGEST = 1000
"""Characters of a completion that a page holds where nothing else is asked for."""


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
        text: its beginning and its end, and a sentence where something between them is left out.
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
        excerpts: in the order in which they are leafed through.
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
        most: completions of one problem that were let in.
        longest: characters of a completion that were let in.
    """

    conditions: tuple[int, ...]
    problems: tuple[ExploredProblem, ...]
    most: int
    longest: int = LONGEST


def clipped(text: str, longest: int) -> str:
    """A text, or the beginning and the end of a longer one with the number of characters between them."""
    left_out = len(text) - longest
    if left_out <= 0:
        return text
    half = longest // 2
    end = text[len(text) - (longest - half) :]
    return f"{text[:half]}\n[... {left_out:,} characters are not in this page ...]\n{end}"
