"""A share of a plan: for machines that have no file in common, each with a database of its own."""

import math
from dataclasses import dataclass
from typing import Self

from esprobe.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``count``, counted from 1.

    Units are dealt like cards in the order of the plan: shards differ by one unit at most, in all and of each condition
    (the baseline not counted), and a longer plan of the same conditions only adds to each.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """``3/16``; None is the whole plan.

        Raises:
            UsageError: the text names no shard.
        """
        if text is None:
            return cls(1, 1)
        number, slash, count = text.partition("/")
        numbers = [part for part in (number, count) if part.isascii() and part.isdecimal() and len(part) <= 9]
        if not slash or len(numbers) < 2 or not 1 <= int(number) <= int(count):
            raise UsageError(
                f"--shard {text!r} is no share of the plan; use NUMBER/COUNT, from 1/16 to 16/16 for sixteen of them"
            )
        return cls(int(number), int(count))

    def holds(self, block: int, condition: int, conditions: int) -> bool:
        """Whether a block of a condition belongs here; both count from 0, the condition among those that are drawn.

        Row by row a card goes to each shard in turn. Where the number of conditions and of shards have a common factor,
        a condition would come to the same few shards in every row; so the row is turned by one as soon as that begins.
        """
        turned = block // (self.count // math.gcd(conditions, self.count))
        return (block * conditions + (condition + turned) % conditions) % self.count == self.number - 1

    @property
    def has_baseline(self) -> bool:
        """Whether the greedy baseline belongs here: the last to be dealt a card has it."""
        return self.number == self.count

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard(1, 1)
"""No share: the plan as a whole."""
