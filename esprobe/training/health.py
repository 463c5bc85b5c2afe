"""Signs that a training run goes wrong, said in words while it can still be stopped."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from esprobe.es import fitness
from esprobe.records.training import Member

_LATELY = 5
"""Iterations whose mean is held against that of the first ones: one alone is noise."""

_MOSTLY = 0.95
_FALLEN = 2.0
"""Standard deviations of fitness within a population by which the mean must fall to count as fallen."""


@dataclass
class Health:
    """Watches the populations of one run.

    Attributes:
        means: mean fitness of each iteration so far.
    """

    means: list[float] = field(default_factory=list)
    _spreads: list[float] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)

    def add(self, members: Sequence[Member], cut_off: float, max_tokens: int) -> list[str]:
        """Take note of a finished iteration; returns warnings, each kind only once.

        Args:
            members: its population.
            cut_off: share of its completions that were cut off.
            max_tokens: where.
        """
        number = len(self.means) + 1
        scores = [member.fitness for member in members]
        self.means.append(fitness(scores))
        self._spreads.append(statistics.pstdev(scores))
        found = {}
        if len(set(scores)) == 1:
            found["spread"] = (
                f"all {len(members)} members of iteration {number:,} have the same fitness "
                f"({self.means[-1]:.4g}), so its update is zero: the noise is too weak to change any answer, or so "
                f"strong that no answer is right; try a larger --sigma or more --problems-per-iteration in the first "
                f"case, a smaller --sigma in the second"
            )
        if cut_off >= _MOSTLY:
            found["cut off"] = (
                f"{cut_off:.0%} of the completions of iteration {number} were cut off at {max_tokens} tokens: the "
                f"model no longer ends its answers, or the limit is too low; try a smaller --sigma or --alpha, or a "
                f"larger --max-tokens"
            )
        first, last = fitness(self.means[:_LATELY]), fitness(self.means[-_LATELY:])
        if len(self.means) >= 2 * _LATELY and last < first - _FALLEN * fitness(self._spreads[:_LATELY]):
            found["fallen"] = (
                f"the population's fitness has fallen below that of the base: from {first:.4g} in the first {_LATELY} "
                f"iterations, around the base, to {last:.4g} in the last {_LATELY}. Training makes the model worse; "
                f"start again with a smaller --alpha or --sigma"
            )
        new = [message for name, message in found.items() if name not in self._said]
        self._said |= found.keys()
        return new
