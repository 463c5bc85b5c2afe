"""Where two pass@k curves cross, and where one reaches a level, each with a 95 % confidence set for k.

The set is made by inverting the test of no difference (Fieller 1954): it holds every k at which the pointwise interval
of the paired difference contains 0. It covers the true k as often as that interval covers the true difference, needs no
variance of the estimated k, and is open where the data do not separate the curves. docs/statistics.md states the rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.difference import pointwise_intervals
from esprobe.stats.side import Side

EVERY_K_UP_TO = 64
"""Every whole k up to here is evaluated, and beyond it ``_PER_DOUBLING`` for each factor of two."""

_PER_DOUBLING = 16

Set = tuple[tuple[float | None, float | None], ...]
"""Ranges of k, ascending and apart; None for an end that is open: below 1, or above n."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The k at which a paired difference of pass@k becomes 0.

    Attributes:
        k: the estimate, interpolated linearly in log k; None where the estimates do not cross from k = 1 to n.
        ranges: its confidence set; empty where 0 is excluded at every k, so that there is no such k up to n.
        n: the largest k that was evaluated.
        first: the difference at k = 1.
        last: the difference at k = n.
        level: the share of such sets that should hold the true k.
    """

    k: float | None
    ranges: Set
    n: int
    first: float
    last: float
    level: float = 0.95


def evaluated_ks(n: int) -> tuple[int, ...]:
    """The whole k at which curves are compared, ascending from 1 to n >= 1."""
    if n <= EVERY_K_UP_TO:
        return tuple(range(1, n + 1))
    beyond = np.arange(1, _PER_DOUBLING * n.bit_length())
    ks = np.rint(EVERY_K_UP_TO * 2.0 ** (beyond / _PER_DOUBLING)).astype(np.int64)
    return (*range(1, EVERY_K_UP_TO + 1), *sorted({int(k) for k in ks if k < n}), n)


def crossing_point(base: Side, trained: Side, level: float = 0.95, *, shared_seeds: bool = False) -> Crossing | None:
    """k*: where trained pass@k minus base pass@k first changes its sign.

    Args:
        base: at ``evaluated_ks``.
        trained: the same problems and k.
        level: the share of sets that should hold the true k*.
        shared_seeds: whether both are perturbations of one noise scheme and scope.

    Returns:
        The point; None where no interval of a difference can be computed, as with one problem.
    """
    return _inverted(base, trained, level, shared_seeds, reaches=False)


def reaching_point(base: Side, trained: Side, level: float = 0.95, *, shared_seeds: bool = False) -> Crossing | None:
    """The k at which the base's pass@k reaches the trained model's pass@1; 1 if it does with one rollout.

    Both are estimated, so the difference trained pass@1 - base pass@k is paired by problem.

    Args:
        base: at ``evaluated_ks``.
        trained: the same problems; at k = 1 alone.
        level: the share of sets that should hold the true k.
        shared_seeds: whether both are perturbations of one noise scheme and scope.

    Returns:
        The point; None where no interval of a difference can be computed, as with one problem.
    """
    return _inverted(base, _held(trained, base.ks), level, shared_seeds, reaches=True)


def _held(side: Side, ks: tuple[int, ...]) -> Side:
    """A side of k = 1 alone, its one column at every k."""

    def repeated(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.repeat(columns, len(ks), axis=1)

    return replace(side, ks=ks, values=repeated(side.values), swing=repeated(side.swing), shifts=repeated(side.shifts))


def _inverted(base: Side, trained: Side, level: float, shared_seeds: bool, *, reaches: bool) -> Crossing | None:
    ends = pointwise_intervals(base, trained, level, shared_seeds=shared_seeds)
    if ends is None:
        return None
    differences = (trained.values - base.values).mean(axis=0)
    place = _first_not_positive(differences) if reaches else _first_sign_change(differences)
    return Crossing(
        k=None if place is None else _interpolated(base.ks, differences, place),
        ranges=inverted_set(base.ks, *ends),
        n=base.ks[-1],
        first=float(differences[0]),
        last=float(differences[-1]),
        level=level,
    )


def _first_not_positive(differences: NDArray[np.float64]) -> int | None:
    found = np.flatnonzero(differences <= 0)
    return int(found[0]) if len(found) else None


def _first_sign_change(differences: NDArray[np.float64]) -> int | None:
    """The first place of the other sign; the place of an exact 0 between the two, if there is one."""
    signs = np.sign(differences)
    (seen,) = np.nonzero(signs)
    changed = [int(place) for place in seen if signs[place] != signs[seen[0]]]
    if not changed:
        return None
    before = int(seen[seen < changed[0]][-1])
    return before + 1


def _interpolated(ks: Sequence[int], differences: NDArray[np.float64], place: int) -> float:
    """Where the difference is 0 between the k before ``place`` and that at ``place``."""
    if place == 0 or differences[place] == 0:
        return float(ks[place])
    before, after = float(differences[place - 1]), float(differences[place])
    return _between(ks, place - 1, before / (before - after))


def _between(ks: Sequence[int], place: int, share: float) -> float:
    """The k at a share of the way to the next one, in log k."""
    return float(ks[place] ** (1 - share) * ks[place + 1] ** share)


def inverted_set(ks: Sequence[int], lows: NDArray[np.float64], highs: NDArray[np.float64]) -> Set:
    """Every real k at which [low, high], interpolated linearly in log k, contains 0.

    Args:
        ks: (K,) ascending.
        lows: (K,) lower ends; NaN where nothing varies, which excludes nothing.
        highs: (K,) upper ends.

    Returns:
        Ranges of k. An end at the first or the last k is open, because nothing beyond it was evaluated.
    """
    lows, highs = np.where(np.isnan(lows), -1.0, lows), np.where(np.isnan(highs), 1.0, highs)
    if len(ks) == 1:
        return ((None, None),) if lows[0] <= 0 <= highs[0] else ()
    ranges: list[tuple[float, float]] = []  # in steps between the places of ``ks``
    for place in range(len(ks) - 1):
        below = _not_positive(lows[place], lows[place + 1])
        above = _not_positive(-highs[place], -highs[place + 1])
        start, stop = max(below[0], above[0]), min(below[1], above[1])
        if start > stop:
            continue
        if ranges and ranges[-1][1] == place + start:
            ranges[-1] = (ranges[-1][0], place + stop)
        else:
            ranges.append((place + start, place + stop))
    return tuple((_end(ks, start), _end(ks, stop)) for start, stop in ranges)


def _not_positive(here: float, there: float) -> tuple[float, float]:
    """The part of 0..1 where a line from ``here`` to ``there`` is not above 0; (1, 0) for none."""
    if here <= 0 and there <= 0:
        return 0.0, 1.0
    if here > 0 and there > 0:
        return 1.0, 0.0
    zero = here / (here - there)
    return (0.0, zero) if here <= 0 else (zero, 1.0)


def _end(ks: Sequence[int], step: float) -> float | None:
    if step in (0, len(ks) - 1):
        return None
    place = int(step)
    return _between(ks, place, step - place)
