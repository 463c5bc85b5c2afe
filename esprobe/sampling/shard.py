"""A part of a plan, for machines that share no file system: each has its own database."""

import math
from dataclasses import dataclass
from typing import Self

from esprobe.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``count``, counted from 1.

    Units are distributed round-robin in plan order. The sizes of two shards differ by at most one unit, in total and
    for each condition (without the baseline), and a larger plan of the same conditions only adds units to each shard.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """``3/16``; None is the whole plan.

        Raises:
            UsageError: the text is not a shard.
        """
        if text is None:
            return cls(1, 1)
        number, slash, count = text.partition("/")
        numbers = [part for part in (number, count) if part.isascii() and part.isdecimal() and len(part) <= 9]
        if not slash or len(numbers) < 2 or not 1 <= int(number) <= int(count):
            raise UsageError(f"--shard must be NUMBER/COUNT, such as 3/16, got {text!r}; NUMBER counts from 1 to COUNT")
        return cls(int(number), int(count))

    def holds(self, block: int, condition: int, conditions: int) -> bool:
        """Whether a block of a condition belongs to this shard.

        Args:
            block: index of the block of seeds within its condition, from 0.
            condition: index of the condition among the sampled ones, from 0.
            conditions: number of sampled conditions.

        Blocks with the same index form a row, and rows are distributed round-robin. If the numbers of conditions and
        shards have a common factor, a condition would go to the same few shards in every row; so the row is rotated by
        one each time that this pattern starts to repeat.
        """
        rotations = block // (self.count // math.gcd(conditions, self.count))
        return (block * conditions + (condition + rotations) % conditions) % self.count == self.number - 1

    @property
    def has_baseline(self) -> bool:
        """Whether the greedy baseline belongs to this shard: the last shard has it."""
        return self.number == self.count

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard(1, 1)
"""The whole plan."""
