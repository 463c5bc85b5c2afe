"""What became of rollouts: correct, or why not; and the format bonus against the answer."""

from dataclasses import dataclass

CORRECT, TRUNCATED, LOOP = "correct", "truncated", "loop"
"""Fates that no scorer names: correct, ended by the token limit before an answer, ended as a repetition."""


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
    """What became of a condition's rollouts; every rollout is in exactly one fate.

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
