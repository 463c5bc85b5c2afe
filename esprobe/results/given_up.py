"""What a table or report says of seeds that were given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from esprobe.records.given_up import GivenUp


@dataclass(frozen=True)
class SeedsGivenUp:
    """Seeds of one condition that will not be drawn, because its first perturbations answer nothing.

    Attributes:
        seeds: how many.
        cut_off: share of the judged completions that were cut off; the lowest, if shards judged their own.
    """

    seeds: int
    cut_off: float

    @classmethod
    def of(cls, marks: Sequence[GivenUp]) -> Self | None:
        """From the marks of a condition; None if it has none."""
        if not marks:
            return None
        seeds = len(frozenset[int]().union(*(mark.seeds for mark in marks)))
        return cls(seeds, min(mark.cut_off / mark.judged for mark in marks))
