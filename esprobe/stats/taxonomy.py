"""Failure breakdown of rollouts, and the format bonus against the answer."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from esprobe.records import OutcomeCount

CORRECT, TRUNCATED, LOOP = "correct", "truncated", "loop"
"""Fates that no scorer names: correct, ended by the token limit before an answer, ended as a repetition."""


NO_ANSWER = "no-answer"
"""The scorers' word for a missing answer; the finish reason may explain it."""


@dataclass(frozen=True)
class Fate:
    """One fate and how many rollouts met it.

    Attributes:
        word: "correct", "truncated", "loop" or a word of the scorer's failure taxonomy.
        rollouts: how many.
        by_group: the same by problem class, in the order of ``Taxonomy.groups``.
    """

    word: str
    rollouts: int
    by_group: tuple[int, ...]


@dataclass(frozen=True)
class FormatCell:
    """Rollouts of one format bonus and one verdict.

    Attributes:
        bonus: reward beyond the answer's own, 0 if the format earned nothing.
        correct: whether the answer was right.
        rollouts: how many.
    """

    bonus: float
    correct: bool
    rollouts: int


@dataclass(frozen=True)
class Taxonomy:
    """Correct rollouts and failures by reason of one condition; every rollout counts once.

    Attributes:
        rollouts: all of them.
        groups: problem classes, sorted.
        group_rollouts: rollouts of each class.
        fates: "correct" first, then by falling count.
        formats: format against answer, the highest bonus first.
    """

    rollouts: int
    groups: tuple[str, ...]
    group_rollouts: tuple[int, ...]
    fates: tuple[Fate, ...]
    formats: tuple[FormatCell, ...]


def taxonomy(tallies: Iterable[OutcomeCount]) -> Taxonomy:
    """The failure breakdown of tallied rollouts.

    A completion without an answer that was cut off or ended as a repetition counts as that; one that gave an answer
    before counts by its answer.
    """
    by_fate: Counter[tuple[str, str]] = Counter()
    formats: Counter[tuple[float, bool]] = Counter()
    by_group: Counter[str] = Counter()
    for tally in tallies:
        by_fate[_word(tally), tally.group] += tally.rollouts
        formats[tally.bonus, tally.failure is None] += tally.rollouts
        by_group[tally.group] += tally.rollouts
    groups = sorted(by_group)
    words: Counter[str] = Counter()
    for (word, _), rollouts in by_fate.items():
        words[word] += rollouts
    words.setdefault(CORRECT, 0)
    order = sorted(words, key=lambda word: (word != CORRECT, -words[word], word))
    return Taxonomy(
        rollouts=by_group.total(),
        groups=tuple(groups),
        group_rollouts=tuple(by_group[group] for group in groups),
        fates=tuple(Fate(word, words[word], tuple(by_fate[word, group] for group in groups)) for word in order),
        formats=tuple(
            FormatCell(bonus, correct, formats[bonus, correct])
            for bonus, correct in sorted(formats, key=lambda key: (-key[0], not key[1]))
        ),
    )


def _word(tally: OutcomeCount) -> str:
    if tally.failure is None:
        return CORRECT
    if tally.failure == NO_ANSWER and tally.finish_reason != "stop":
        return TRUNCATED if tally.finish_reason == "length" else LOOP
    return tally.failure
