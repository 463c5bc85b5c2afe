"""esprobe's own Countdown problems: solvable by construction, the same on every machine.

Owns the streams of random problems and the data set "generated". Does not know files, prompts' use or models.

Randomness is `random.Random.random()` seeded with an int and nothing else: Python documents that sequence as
never changing, and leaves `randrange`, `choice`, `shuffle` and `sample` free to change. One call names one
candidate: its 53 bits exceed the 3e12 ways to choose numbers, pairs and operators. Values are exact: pairs of
integers (numerator, denominator), which Fraction would only reduce, ten times slower.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import prod
from random import Random

from esprobe.tasks.countdown.prompts import published_context
from esprobe.tasks.countdown.rows import Row, key_of
from esprobe.tasks.countdown.trees import Expression, Operator, flat

GENERATED_SEED = 20260901
GENERATED_COUNT = 2200

COUNTS = (3, 4)
LARGEST = 99
TARGETS = range(10, 100)
OPERATORS: tuple[Operator, ...] = ("+", "-", "*", "*", "/", "/")
"""Products and quotients count twice, for few of them end at a target; the published file has more still."""

JOINS: dict[int, tuple[tuple[Operator, int, int], ...]] = {
    left: tuple((sign, i, j) for j in range(left - 1) for i in range(left) for sign in OPERATORS)
    for left in range(2, max(COUNTS) + 1)
}
"""By how many values are left: operator, which to take first, which of the others to take second."""


@dataclass(frozen=True)
class Solvable:
    """A problem and one expression that solves it."""

    numbers: tuple[int, ...]
    target: int
    expression: Expression

    @cached_property
    def key(self) -> str:
        """Equal for equal problems."""
        return key_of(self.numbers, self.target)

    @property
    def solution(self) -> str:
        """The expression with the fewest parentheses, sums and products in a fixed order."""
        return flat(self.expression)


def candidates(seed: int) -> Iterator[Solvable]:
    """Endless solvable problems with integer targets, half of them with three numbers; repeats can occur.

    Each is made by joining two random values by a random operator until one value is left, kept if that value
    is a target.
    """
    rng = Random(seed)
    while True:
        count = COUNTS[int(rng.random() * len(COUNTS))]
        names = _names(count)
        solvable = None
        while solvable is None:
            solvable = _candidate(int(rng.random() * names), count)
        yield solvable


def distinct(stream: Iterable[Solvable], excluded: Iterable[str] = ()) -> Iterator[Solvable]:
    """The problems of a stream without repeats and without the ``excluded`` keys.

    Exclusion only drops problems: it never changes which ones are drawn after.
    """
    seen = set(excluded)
    for solvable in stream:
        if solvable.key not in seen:
            seen.add(solvable.key)
            yield solvable


def generated_rows() -> list[Row]:
    """The data set "generated"."""
    rows = []
    for solvable in islice(distinct(candidates(GENERATED_SEED)), GENERATED_COUNT):
        target = str(solvable.target)
        rows.append(Row(solvable.numbers, target, published_context(solvable.numbers, target)))
    return rows


def _names(count: int) -> int:
    """How many candidates of ``count`` numbers there are."""
    return prod([LARGEST] * count) * prod(len(JOINS[left]) for left in range(2, count + 1))


def _candidate(name: int, count: int) -> Solvable | None:
    """The candidate that an integer below ``_names(count)`` names; None if its value is no target."""
    numbers = []
    for _ in range(count):
        name, number = divmod(name, LARGEST)
        numbers.append(number + 1)
    values: list[tuple[int, int, Expression]] = [(number, 1, number) for number in numbers]
    for remaining in range(count, 1, -1):
        joins = JOINS[remaining]
        name, join = divmod(name, len(joins))
        sign, i, j = joins[join]
        a, a_below, left = values.pop(i)
        b, b_below, right = values.pop(j)
        if sign == "*":
            above, below = a * b, a_below * b_below
        elif sign == "/":
            if b == 0:
                return None
            above, below = a * b_below, a_below * b
        elif sign == "+":
            above, below = a * b_below + b * a_below, a_below * b_below
        else:
            above, below = a * b_below - b * a_below, a_below * b_below
        values.append((above, below, (sign, left, right)))
    above, below, expression = values[0]
    target, rest = divmod(above, below)
    if rest or target not in TARGETS:
        return None
    return Solvable(tuple(numbers), target, expression)
