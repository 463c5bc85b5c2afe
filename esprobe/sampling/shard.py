"""A share of a plan: for machines that have no file in common, each with a database of its own."""

from dataclasses import dataclass
from typing import Self

from esprobe.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``count``, counted from 1.

    Units are dealt like cards in the order of the plan, so that shards differ by one unit at most, and a longer plan of
    the same conditions only adds to each.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``3/16``.

        Raises:
            UsageError: the text names no shard.
        """
        number, slash, count = text.partition("/")
        numbers = [part for part in (number, count) if part.isascii() and part.isdecimal() and len(part) <= 9]
        if not slash or len(numbers) < 2 or not 1 <= int(number) <= int(count):
            raise UsageError(
                f"--shard {text!r} is no share of the plan; use NUMBER/COUNT, from 1/16 to 16/16 for sixteen of them"
            )
        return cls(int(number), int(count))

    def holds(self, position: int) -> bool:
        """Whether the unit at this position of the plan belongs here; position -1 is the last shard's."""
        return position % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard(1, 1)
"""No share: the plan as a whole."""
