"""Seeds of a condition that will not be drawn, because its first perturbations answer nothing."""

from collections.abc import Collection, Iterator
from typing import NamedTuple


class GivenUp(NamedTuple):
    """A mark: these seeds of one condition, on these problems, are not owed.

    Attributes:
        first_index: first problem index.
        stop_index: one past the last problem index.
        seeds: the seeds.
        judged: rollouts that the decision was made on, none of them correct.
        cut_off: how many of those were cut off at the token limit.
    """

    first_index: int
    stop_index: int
    seeds: frozenset[int]
    judged: int
    cut_off: int

    def without(self, first_index: int, stop_index: int, seeds: Collection[int]) -> "Iterator[GivenUp]":
        """What is left of the mark without a rectangle of problems x seeds: at most three marks."""
        taken = self.seeds.intersection(seeds)
        first, stop = max(first_index, self.first_index), min(stop_index, self.stop_index)
        if not taken or first >= stop:
            yield self
            return
        for low, high, left in (
            (self.first_index, first, self.seeds),
            (first, stop, self.seeds - taken),
            (stop, self.stop_index, self.seeds),
        ):
            if low < high and left:
                yield self._replace(first_index=low, stop_index=high, seeds=left)


def runs_of(seeds: Collection[int]) -> list[range]:
    """Runs of consecutive seeds, ascending."""
    runs: list[range] = []
    for seed in sorted(seeds):
        first = runs.pop().start if runs and runs[-1].stop == seed else seed
        runs.append(range(first, seed + 1))
    return runs
