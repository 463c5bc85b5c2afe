"""Where the sets of solved problems differ."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OverlapRow:
    """Numbers of problems of one class by which of two conditions solves them at least once.

    Attributes:
        group: the problem class, or "all".
        only_a: solved by the first alone.
        only_b: solved by the second alone.
        both: solved by both.
        neither: solved by none.
    """

    group: str
    only_a: int
    only_b: int
    both: int
    neither: int


@dataclass(frozen=True)
class Overlap:
    """The solved sets of two conditions (or of two arms), over the problems that both have.

    Attributes:
        samples_a: rollouts per problem of the first, fewest and most: more rollouts solve more.
        samples_b: of the second.
        rows: one for each class, sorted, then "all".
        mcnemar: exact two-sided p of McNemar's test of (only_a, only_b); 1 if no problem tells them apart.
        only_a: indices of problems, ascending.
        only_b: likewise.
        both: likewise.
        neither: likewise.
    """

    samples_a: tuple[int, int]
    samples_b: tuple[int, int]
    rows: tuple[OverlapRow, ...]
    mcnemar: float
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    both: tuple[int, ...]
    neither: tuple[int, ...]

    @property
    def total(self) -> OverlapRow:
        """The row of all problems."""
        return self.rows[-1]
