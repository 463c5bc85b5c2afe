"""ES version 1 in numbers: seeds of a population, problems of an iteration, and the coefficients of its update.

All results are the same on every machine and in every version of Python: sums are exact (``math.fsum``), everything
else is one rounding of float64 at a time. docs/training.md has the definition.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from esprobe.seeds import h64

ALGORITHM = "esprobe/es/1"

SHAPINGS = ("zscore", "rank")
Shaping = Literal["zscore", "rank"]

_EPSILON = 1e-8
"""Added to the standard deviation of fitnesses, as in the published code, so that equal ones divide by no zero."""


class Draw(NamedTuple):
    """The noise of one member of a population: its seed, and 1 or -1 for what it is multiplied by."""

    seed: int
    sign: int


def population(seed: int, iteration: int, size: int, *, antithetic: bool) -> list[Draw]:
    """The members of an iteration, in order.

    Seeds are hashed from the run's seed: with added seeds, runs 42 and 43 would share their populations, shifted by one
    iteration, and would be no replicates.

    Args:
        seed: the run's.
        iteration: from 0.
        size: members; even if ``antithetic``.
        antithetic: whether members 2 i and 2 i + 1 have the same noise, the second one subtracted.
    """
    if antithetic:
        seeds = [h64(ALGORITHM, seed, iteration, pair) for pair in range(size // 2)]
        return [Draw(one, sign) for one in seeds for sign in (1, -1)]
    return [Draw(h64(ALGORITHM, seed, iteration, member), 1) for member in range(size)]


def problems_of(indices: Sequence[int], seed: int, iteration: int, size: int) -> list[int]:
    """The problems of an iteration, ascending: a block of the training problems in an order fixed by the run's seed.

    Consecutive iterations take consecutive blocks, from the beginning again after the last problem.

    Args:
        indices: all training problems.
        seed: the run's.
        iteration: from 0.
        size: problems per iteration, at most ``len(indices)``.
    """
    if size == len(indices):
        return sorted(indices)
    order = sorted(indices, key=lambda index: h64(f"{ALGORITHM}/order", seed, index))
    first = iteration * size
    return sorted(order[place % len(order)] for place in range(first, first + size))


def fitness(rewards: Sequence[float]) -> float:
    """Mean reward."""
    return math.fsum(rewards) / len(rewards)


def shaped(fitnesses: Sequence[float], how: Shaping) -> list[float]:
    """(N,) what each member counts: "zscore" (f - mean) / (population sd + 1e-8), or "rank" from -1/2 to 1/2.

    "rank" is the place among the others, from 0, over N - 1, minus 1/2; equal fitnesses share the mean of their places.
    """
    count = len(fitnesses)
    if how == "rank":
        below = [sum(other < one for other in fitnesses) for one in fitnesses]
        equal = [sum(other == one for other in fitnesses) for one in fitnesses]
        return [(b + (e - 1) / 2) / (count - 1) - 0.5 for b, e in zip(below, equal, strict=True)]
    mean = fitness(fitnesses)
    deviations = [one - mean for one in fitnesses]
    spread = math.sqrt(math.fsum(d * d for d in deviations) / count)
    return [d / (spread + _EPSILON) for d in deviations]


def coefficients(draws: Sequence[Draw], fitnesses: Sequence[float], alpha: float, how: Shaping) -> list[float]:
    """(N,) float32 values: alpha / N times what each member counts, rounded once, with the member's sign."""
    scale = alpha / len(draws)
    return [
        float(np.float32(scale * value)) * draw.sign for draw, value in zip(draws, shaped(fitnesses, how), strict=True)
    ]
