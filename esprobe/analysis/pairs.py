"""Two conditions over the problems that both have."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.loaded import Loaded
from esprobe.analysis.mixed_scorers import mixed_scorers
from esprobe.analysis.nulls import Null
from esprobe.results.detail import Comparison
from esprobe.results.notes import (
    DifferentModels,
    GreedyRepeated,
    PairNote,
    ProblemsLeftOut,
    UnequalRollouts,
)
from esprobe.stats.curve import default_ks
from esprobe.stats.difference import Difference, paired_difference
from esprobe.stats.multiplicity import holm
from esprobe.stats.overlap import Overlap, overlap
from esprobe.stats.side import Side, known_side


def comparable(a: Loaded, b: Loaded) -> bool:
    """Whether two conditions have problems of the same data set in common, so that they can be paired."""
    same = (a.condition.task, a.condition.data_digest) == (b.condition.task, b.condition.data_digest)
    return same and bool(len(common_problems(a, b)))


def common_problems(a: Loaded, b: Loaded) -> NDArray[np.int64]:
    """Indices of the problems that both have, ascending."""
    if np.array_equal(a.correctness.problems, b.correctness.problems):
        return a.correctness.problems
    return np.intersect1d(a.correctness.problems, b.correctness.problems)


def compare_conditions(a: Loaded, b: Loaded, ks: Sequence[int] | None = None) -> Comparison:
    """B against A.

    Args:
        a: the first condition.
        b: the second; ``comparable`` with the first.
        ks: powers of two up to the smaller n if None.

    Raises:
        ValueError: a k is above n of one of them.
    """
    indices = common_problems(a, b)
    ks = _ks(a, b, indices) if ks is None else tuple(sorted(set(ks)))
    side_a, side_b = a.side(indices, ks), b.side(indices, ks)
    shared = shares_seeds(a, b)
    return Comparison(
        a=a.id,
        b=b.id,
        label_a=a.label,
        label_b=b.label,
        difference=paired_difference(side_a, side_b, shared_seeds=shared),
        same_problems=paired_difference(side_a, side_b, "these problems", shared_seeds=shared),
        overlap=solved_sets([a], [b], indices),
        shared_seeds=shared,
        notes=_notes(a, b, indices),
    )


def compare_null(null: Null, b: Loaded, ks: Sequence[int] | None = None) -> Comparison | None:
    """A condition against guessing; None if the null covers none of its problems."""
    indices = np.intersect1d(b.correctness.problems, null.indices)
    if not null.covers(b.condition) or not len(indices):
        return None
    if ks is None:
        ks = b.ks if b.kind.is_sampled else (1,)
    side_a, side_b = null_side(null, indices, ks), b.side(indices, ks)
    return Comparison(
        a=None,
        b=b.id,
        label_a=null.label,
        label_b=b.label,
        difference=paired_difference(side_a, side_b),
        same_problems=paired_difference(side_a, side_b, "these problems"),
        overlap=None,
        shared_seeds=False,
    )


def null_side(null: Null, indices: NDArray[np.int64], ks: Sequence[int]) -> Side:
    """Guessing as a side, over some of its problems."""
    rows = np.searchsorted(null.indices, indices)
    return known_side(null.chances[rows], ks, null.first[rows])


def all_pairs(loaded: Sequence[Loaded], ks: Sequence[int] | None = None) -> tuple[Comparison, ...]:
    """Every two conditions that can be paired, the earlier one first, at ``ks`` or at the default k of each pair."""
    return tuple(compare_conditions(a, b, ks) for a, b in combinations(loaded, 2) if comparable(a, b))


def arms_overlap(loaded: Sequence[Loaded]) -> Overlap | None:
    """Problems solved by any temperature against those solved by any sigma above 0; None without both.

    Over the problems that all of them have. Imports are left out: they may be of another model, or the same rollouts
    judged again.
    """
    loaded = [c for c in loaded if c.condition.source is None]
    temperatures = [c for c in loaded if c.kind.has_token_noise]
    sigmas = [c for c in loaded if c.kind.shares_noise and c.condition.sigma]
    if not temperatures or not sigmas:
        return None
    first = temperatures[0].condition
    if any(
        (c.condition.data_digest, c.condition.model_fingerprint) != (first.data_digest, first.model_fingerprint)
        for c in (*temperatures, *sigmas)
    ):
        return None
    indices = temperatures[0].correctness.problems
    for other in (*temperatures[1:], *sigmas):
        indices = np.intersect1d(indices, other.correctness.problems)
    return solved_sets(temperatures, sigmas, indices) if len(indices) else None


def solved_sets(a: Sequence[Loaded], b: Sequence[Loaded], indices: NDArray[np.int64]) -> Overlap:
    """The solved sets of two unions of conditions."""
    groups = [a[0].correctness.groups[row] for row in a[0].rows(indices)]
    return overlap(
        indices,
        groups,
        np.any([c.solved(indices) for c in a], axis=0),
        np.any([c.solved(indices) for c in b], axis=0),
        _samples(a, indices),
        _samples(b, indices),
    )


def shares_seeds(a: Loaded, b: Loaded) -> bool:
    """Whether one seed names the same noise in both: perturbations of one scheme and scope.

    Sigma 0 has no noise: its seeds only number repetitions of one answer.
    """
    one, other = a.condition, b.condition
    both = a.kind.shares_noise and b.kind.shares_noise and bool(one.sigma) and bool(other.sigma)
    return both and (one.noise, one.scope) == (other.noise, other.scope)


def _samples(conditions: Sequence[Loaded], indices: NDArray[np.int64]) -> tuple[int, int]:
    n = sum(c.outcomes.n[c.rows(indices)] for c in conditions)
    return int(np.min(n)), int(np.max(n))


def _ks(a: Loaded, b: Loaded, indices: NDArray[np.int64]) -> tuple[int, ...]:
    smallest = [int(c.outcomes.n[c.rows(indices)].min()) for c in (a, b) if c.kind.is_sampled]
    return default_ks(min(smallest, default=1))


def _notes(a: Loaded, b: Loaded, indices: NDArray[np.int64]) -> tuple[PairNote, ...]:
    notes: list[PairNote] = []
    for one in (a, b):
        if left_out := one.outcomes.problems - len(indices):
            notes.append(ProblemsLeftOut(one.label, left_out))
    if not a.kind.is_sampled or not b.kind.is_sampled:
        notes.append(GreedyRepeated())
    elif a.samples != b.samples:
        notes.append(UnequalRollouts())
    if a.condition.model_fingerprint != b.condition.model_fingerprint:
        notes.append(DifferentModels(a.condition.model, b.condition.model))
    if mixed := mixed_scorers({a.label: a.scorers, b.label: b.scorers}):
        notes.append(mixed)
    return tuple(notes)


def with_holm(pairs: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons with p adjusted for all of them and all k together."""

    def adjusted(pick: str) -> list[Difference]:
        differences: list[Difference] = [getattr(pair, pick) for pair in pairs]
        ps = iter(holm([point.p for d in differences for point in d.points]))
        return [replace(d, points=tuple(replace(point, p_holm=next(ps)) for point in d.points)) for d in differences]

    both = zip(pairs, adjusted("difference"), adjusted("same_problems"), strict=True)
    return tuple(replace(pair, difference=d, same_problems=s) for pair, d, s in both)
