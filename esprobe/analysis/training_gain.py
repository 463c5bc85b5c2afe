"""What training adds to the base: the trained model's pass@1 and pass@k against the base's, problem by problem.

Which conditions are compared is decided by the design alone, never by results; docs/statistics.md states the rule.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.loaded import Loaded
from esprobe.analysis.pairs import shares_seeds
from esprobe.analysis.solved_alone import only_one
from esprobe.records.labels import distinct_labels
from esprobe.results.training_gain import Coverage, NothingInCommon, Reach, Roles, TrainingGain
from esprobe.stats.crossing import crossing_point, evaluated_ks, reaching_point
from esprobe.stats.curve import Curve, default_ks, estimate_curve
from esprobe.stats.difference import paired_difference
from esprobe.store import RolloutStore


@dataclass(frozen=True, eq=False)
class _Design:
    """The conditions of the two models that are compared, all of one prompt and token limit.

    Attributes:
        greedy: baselines of the base and the trained model.
        pairs: (base, trained) of equal decoding, the one with most rollouts first.
        sampled: the base's sampled conditions, the one that the sentence speaks of first.
    """

    greedy: tuple[Loaded | None, Loaded | None]
    pairs: tuple[tuple[Loaded, Loaded], ...]
    sampled: tuple[Loaded, ...]

    @property
    def indices(self) -> NDArray[np.int64]:
        """(P,) the problems that all conditions of the sentence have."""
        used = [*self.greedy, *(self.pairs[0] if self.pairs else ()), *self.sampled[:1]]
        return reduce(np.intersect1d, [one.correctness.problems for one in used if one is not None])

    @property
    def headline(self) -> tuple[Loaded, Loaded] | None:
        """(base, trained) whose pass@1 is compared: both greedy, or else the first pair; None without both."""
        base, trained = self.greedy
        if base is not None and trained is not None:
            return base, trained
        return self.pairs[0] if self.pairs else None


def training_gain(
    store: RolloutStore, loaded: Sequence[Loaded], roles: Roles, ks: Sequence[int] | None = None
) -> TrainingGain | NothingInCommon:
    """The trained model against the base.

    Args:
        store: the database, for completions.
        loaded: conditions of both models and perhaps of others.
        roles: which model is which.
        ks: the k of curves and differences; powers of two up to n if None.

    Raises:
        StoreError: a completion has changed since it was written.
    """
    design = _design(loaded, roles)
    if design is None or design.headline is None or not len(design.indices):
        return NothingInCommon(roles)
    indices = design.indices
    base, trained = design.headline
    pairs = [pair for pair in design.pairs if all(_has(one, indices) for one in pair)]
    sampled = [one for one in design.sampled if _has(one, indices)]
    sides = _solving(design)
    labels = distinct_labels({one.id: one.condition for one in (*design.sampled, *(pair[0] for pair in pairs))})
    return TrainingGain(
        roles=roles,
        problems=len(indices),
        decoding=base.condition.label,
        pass_1=paired_difference(
            base.side(indices, (1,)), trained.side(indices, (1,)), shared_seeds=shares_seeds(base, trained)
        ),
        solved_greedily=None if design.greedy[1] is None else int(design.greedy[1].solved(indices).sum()),
        reaches=tuple(_reach(one, labels[one.id], trained, design.greedy[1], indices) for one in sampled),
        coverage=tuple(_coverage(*pair, labels[pair[0].id], indices, ks) for pair in pairs),
        curves={one.id: _curve(one, indices, ks) for one in (*sampled, *(one for pair in pairs for one in pair))},
        greedy=(_id(design.greedy[0]), _id(design.greedy[1])),
        only_trained=only_one(store, sides[1], sides[0], indices),
        only_base=only_one(store, sides[0], sides[1], indices),
        samples=(_samples(sides[0], indices), _samples(sides[1], indices)),
    )


def _design(loaded: Sequence[Loaded], roles: Roles) -> _Design | None:
    """The conditions to compare: those of the prompt and token limit under which both models hold most rollouts."""
    groups: dict[tuple[object, ...], tuple[list[Loaded], list[Loaded]]] = {}
    fingerprints = (roles.base.fingerprint, roles.trained.fingerprint)
    for one in loaded:
        c = one.condition
        if one.outcomes.problems and c.source is None and c.model_fingerprint in fingerprints:
            key = (c.data_digest, c.prompt_digest, c.max_tokens, c.stop_loops, c.stop)
            groups.setdefault(key, ([], []))[fingerprints.index(c.model_fingerprint)].append(one)
    both = [group for group in groups.values() if all(group)]
    if not both:
        return None
    base, trained = max(both, key=lambda group: sum(_rollouts(one) for side in group for one in side))
    pairs = _pairs(base, trained)
    first = pairs[0][0] if pairs else None
    sampled = sorted(
        (one for one in base if _is_of_an_arm(one)), key=lambda one: (_space(one), one is not first, *_order(one))
    )
    return _Design((_greedy(base), _greedy(trained)), tuple(pairs), tuple(sampled))


def _pairs(base: Sequence[Loaded], trained: Sequence[Loaded]) -> list[tuple[Loaded, Loaded]]:
    """Conditions of equal decoding: temperatures, then sigmas; of each those with most rollouts, then the smallest."""

    def by_decoding(conditions: Iterable[Loaded]) -> dict[tuple[object, ...], Loaded]:
        # Of several that differ in dtype or engine alone, the one with most rollouts.
        ranked = sorted((one for one in conditions if _is_of_an_arm(one)), key=_order, reverse=True)
        return {_decoding(one): one for one in ranked}

    ours, theirs = by_decoding(base), by_decoding(trained)
    both = [(ours[decoding], theirs[decoding]) for decoding in ours if decoding in theirs]
    return sorted(both, key=lambda pair: (_space(pair[0]), -min(map(_rollouts, pair)), *_order(pair[0])))


def _decoding(one: Loaded) -> tuple[object, ...]:
    c = one.condition
    return (c.kind, c.temperature, c.top_p, c.top_k, c.sigma, c.noise, c.scope)


def _is_of_an_arm(one: Loaded) -> bool:
    """Whether it is a temperature, or a sigma above 0, whose samples differ by more than numerical noise."""
    noisy = one.kind.has_token_noise or (one.kind.shares_noise and bool(one.condition.sigma))
    return noisy and one.kind.is_listed


def _greedy(conditions: Sequence[Loaded]) -> Loaded | None:
    return min((one for one in conditions if not one.kind.is_sampled), key=_order, default=None)


def _space(one: Loaded) -> bool:
    """Token space before weight space."""
    return one.kind.shares_noise


def _order(one: Loaded) -> tuple[float, ...]:
    """Most rollouts first, then the smaller temperature or sigma, then what was sampled first."""
    return (-_rollouts(one), one.condition.temperature or one.condition.sigma or 0.0, one.id)


def _rollouts(one: Loaded) -> int:
    return int(one.outcomes.n.sum())


def _reach(one: Loaded, label: str, trained: Loaded, greedy: Loaded | None, indices: NDArray[np.int64]) -> Reach:
    n = _n_min(one, indices)
    solved = None if greedy is None else int((greedy.solved(indices) & one.solved(indices)).sum())
    point = reaching_point(
        one.side(indices, evaluated_ks(n)), trained.side(indices, (1,)), shared_seeds=shares_seeds(one, trained)
    )
    return Reach(condition=one.id, decoding=label, samples=n, point=point, solved=solved)


def _coverage(
    base: Loaded, trained: Loaded, label: str, indices: NDArray[np.int64], ks: Sequence[int] | None
) -> Coverage:
    n = min(_n_min(one, indices) for one in (base, trained))
    shared = shares_seeds(base, trained)
    every, printed = evaluated_ks(n), default_ks(n) if ks is None else tuple(sorted(set(ks)))
    return Coverage(
        base=base.id,
        trained=trained.id,
        decoding=label,
        difference=paired_difference(base.side(indices, printed), trained.side(indices, printed), shared_seeds=shared),
        point=crossing_point(base.side(indices, every), trained.side(indices, every), shared_seeds=shared),
    )


def _curve(one: Loaded, indices: NDArray[np.int64], ks: Sequence[int] | None) -> Curve:
    return estimate_curve(one.outcomes.rows(one.rows(indices)), one.kind, ks)


def _solving(design: _Design) -> tuple[list[Loaded], list[Loaded]]:
    """Conditions whose solved problems are set against each other: greedy ones, then those of the first pair.

    Without a pair, the base's first sampled condition stands against the trained model's greedy baseline.
    """
    base, trained = design.pairs[0] if design.pairs else (next(iter(design.sampled), None), None)
    of_base, of_trained = (design.greedy[0], base), (design.greedy[1], trained)
    return [one for one in of_base if one is not None], [one for one in of_trained if one is not None]


def _samples(conditions: Sequence[Loaded], indices: NDArray[np.int64]) -> int:
    return sum(_n_min(one, indices) for one in conditions if one.kind.is_sampled)


def _n_min(one: Loaded, indices: NDArray[np.int64]) -> int:
    return int(one.outcomes.n[one.rows(indices)].min())


def _has(one: Loaded, indices: NDArray[np.int64]) -> bool:
    return bool(np.isin(indices, one.correctness.problems).all())


def _id(one: Loaded | None) -> int | None:
    return None if one is None else one.id
