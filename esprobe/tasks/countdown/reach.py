"""What given numbers can reach: an exact search over every expression of + - * / that uses each of them once.

Owns the search. Does not know data sets or scorers. Values are reduced pairs of integers (numerator, denominator > 0):
``fractions.Fraction`` would take ten times as long.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import gcd

from esprobe.tasks.countdown.scoring import TOLERANCE, is_meant

MOST_SEARCHED = 6
"""Numbers up to which every expression is tried; each one more takes about thirty times as long."""

_Value = tuple[int, int]
_NEAR = Fraction(str(TOLERANCE))


def nearest(numbers: Sequence[int], target: Fraction) -> Fraction | None:
    """A value that some expression has and that counts as the target; None if no expression comes so near.

    Near is what es-paper/1 accepts: less than 1e-5 away. A value that strict/1 accepts too is preferred, so that the
    result passes ``scoring.is_meant`` if and only if some expression does. Values are compared exactly, where
    es-paper/1 compares floats.

    Raises:
        ValueError: there are more than ``MOST_SEARCHED`` numbers.
    """
    if len(numbers) > MOST_SEARCHED:
        raise ValueError(f"{len(numbers)} numbers are too many to try every expression of")
    above, below = target.numerator, target.denominator
    near = None
    for n, d in _last_steps(tuple(sorted(numbers))):
        # |n/d - target| < 1e-5, without a division
        if abs(n * below - above * d) * _NEAR.denominator < _NEAR.numerator * d * below:
            found = Fraction(n, d)
            if is_meant(found, target):
                return found
            near = near or found
    return near


def _last_steps(numbers: tuple[int, ...]) -> Iterator[_Value]:
    """Every value of these numbers, not reduced and with repeats; denominators are positive."""
    if len(numbers) == 1:
        yield numbers[0], 1
        return
    for left, right in _splits(numbers):
        rights = _values(right)
        for a, x in _values(left):
            for b, y in rights:
                ay, bx, xy = a * y, b * x, x * y
                yield ay + bx, xy
                yield ay - bx, xy
                yield bx - ay, xy
                yield a * b, xy
                if b:
                    yield (ay, bx) if b > 0 else (-ay, -bx)
                if a:
                    yield (bx, ay) if a > 0 else (-bx, -ay)


@lru_cache(maxsize=1 << MOST_SEARCHED)
def _values(numbers: tuple[int, ...]) -> frozenset[_Value]:
    """Every value of these numbers, reduced, once; kept while the other parts of one problem ask for it."""
    found = set()
    for n, d in _last_steps(numbers):
        shared = gcd(n, d)
        found.add((n // shared, d // shared))
    return frozenset(found)


def _splits(numbers: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every way to part the numbers in two groups, the first of which holds the first number; equal ones once."""
    first, rest = numbers[0], numbers[1:]
    seen = set()
    for size in range(len(rest)):
        for chosen in combinations(range(len(rest)), size):
            left = (first, *(rest[i] for i in chosen))
            right = tuple(rest[i] for i in range(len(rest)) if i not in chosen)
            if (left, right) not in seen:
                seen.add((left, right))
                yield left, right
