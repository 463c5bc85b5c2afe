"""The Countdown row, and which rows are the same problem.

Owns the row and its canonical key. Does not know where rows come from or how they become prompts.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from esprobe.spec import digest_of


class Row(NamedTuple):
    """One problem of a data set; a named tuple, because half a million frozen dataclasses take half a second to make.

    Attributes:
        numbers: the numbers to use, each exactly once, in the order in which the prompt shows them.
        target: the value to reach, as the prompt prints it, such as "98" or "27.4".
        context: the whole prompt of style "raw", verbatim; None if the file has none.
    """

    numbers: tuple[int, ...]
    target: str
    context: str | None


def key_of(numbers: Iterable[int], target: str | int) -> str:
    """A canonical key: equal for the same numbers in any order and the same target in any spelling."""
    return f"{','.join(map(str, sorted(numbers)))}={Fraction(target)}"


def rows_digest(rows: Sequence[Row]) -> str:
    """SHA-256 over everything that a prompt or scorer reads.

    Ids and solutions are left out: a problem's index is its row's position, and solutions are never prompted or scored.
    """
    return digest_of(rows)  # JSON writes a named tuple as a list
