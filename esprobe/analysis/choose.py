"""The best perturbation and conditions: selected on one half of the problems, judged on the held-out half."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.loaded import Loaded
from esprobe.records import PublishedPoint
from esprobe.records.labels import short_names
from esprobe.spec import Kind
from esprobe.stats.intervals import interval, intervals, spread
from esprobe.stats.selection import (
    SPLIT_SEED,
    Chosen,
    NarrowConditions,
    NoGreedyBaseline,
    OneModelOnly,
    ProblemsNotShared,
    ReferenceLine,
    Selection,
    SelectionNote,
    TooFewPerturbations,
    TooFewProblems,
    expected_selection_bias,
    split,
)
from esprobe.stats.verdict import PRIMARY_KS


@dataclass(frozen=True, eq=False)
class Field:
    """The candidates: conditions of one model, on the problems that all of them have.

    Attributes:
        temperatures: the temperature arm.
        sigmas: the perturbation arm without sigma 0, which perturbs nothing.
        zero: sigma 0, if it was sampled on all of the common problems.
        greedy: the baseline, if it was sampled on all of them.
        indices: (P,) the common problems.
        selecting: (P,) True for the selection half.
        notes: what was left out and why.
    """

    temperatures: tuple[Loaded, ...]
    sigmas: tuple[Loaded, ...]
    zero: Loaded | None
    greedy: Loaded | None
    indices: NDArray[np.int64]
    selecting: NDArray[np.bool_]
    notes: tuple[SelectionNote, ...]

    @property
    def selected_on(self) -> NDArray[np.int64]:
        """Problems of the selection half."""
        return self.indices[self.selecting]

    @property
    def judged_on(self) -> NDArray[np.int64]:
        """Problems of the held-out half."""
        return self.indices[~self.selecting]

    @property
    def can_be_halved(self) -> bool:
        """Whether there is a problem to select on, and enough others for an interval."""
        return len(self.selected_on) > 0 and len(self.judged_on) > 1


def field_of(loaded: Sequence[Loaded]) -> Field | None:
    """The candidates, by design alone, whatever was solved; None without any.

    Conditions of one model, data, prompt, dtype and token limit: the group with most rollouts. A condition over less
    than half of the problems of the widest one of its arm, such as a scan leaves, is left out, because it would shrink
    the common problems of all.
    """
    groups: dict[tuple[object, ...], list[Loaded]] = {}
    for one in loaded:
        if one.outcomes.problems:
            c = one.condition
            key = (c.model_fingerprint, c.data_digest, c.prompt_digest, c.dtype, c.max_tokens, c.stop_loops, c.stop)
            groups.setdefault(key, []).append(one)
    with_candidates = [group for group in groups.values() if any(map(_is_candidate, group))]
    if not with_candidates:
        return None
    group = max(with_candidates, key=lambda conditions: sum(int(c.outcomes.n.sum()) for c in conditions))
    candidates = [c for c in group if _is_candidate(c)]
    arms = [c for c in candidates if 2 * c.outcomes.problems >= _widest(candidates, c.kind)]
    indices = in_any = arms[0].correctness.problems
    for other in arms[1:]:
        indices = np.intersect1d(indices, other.correctness.problems)
        in_any = np.union1d(in_any, other.correctness.problems)

    def over_them(conditions: Iterable[Loaded]) -> Loaded | None:
        return next((c for c in conditions if np.isin(indices, c.correctness.problems).all()), None)

    greedy = over_them(c for c in group if not c.kind.is_sampled)
    return Field(
        temperatures=tuple(c for c in arms if c.kind.has_token_noise),
        sigmas=tuple(c for c in arms if c.kind.shares_noise),
        zero=over_them(c for c in group if c.kind.shares_noise and not c.condition.sigma),
        greedy=greedy,
        indices=indices,
        selecting=split(indices, [arms[0].correctness.groups[row] for row in arms[0].rows(indices)]),
        notes=tuple(
            _left_out(
                of_several=group[0] if len(groups) > 1 else None,
                narrow=[c.label for c in candidates if c not in arms],
                not_shared=len(in_any) - len(indices),
                has_greedy=greedy is not None,
            )
        ),
    )


def _left_out(
    *, of_several: Loaded | None, narrow: Sequence[str], not_shared: int, has_greedy: bool
) -> Iterator[SelectionNote]:
    if of_several is not None:
        c = of_several.condition
        yield OneModelOnly(short_names([c.model])[c.model], c.dtype, c.max_tokens)
    if narrow:
        yield NarrowConditions(tuple(narrow))
    if not_shared:
        yield ProblemsNotShared(not_shared)
    if not has_greedy:
        yield NoGreedyBaseline()


def _widest(candidates: Sequence[Loaded], kind: Kind) -> int:
    return max(c.outcomes.problems for c in candidates if c.kind == kind)


def _is_candidate(one: Loaded) -> bool:
    """Whether it belongs to an arm: a temperature, or a sigma above 0, sampled under this design and not imported."""
    if one.condition.source is not None:
        return False
    return one.kind.has_token_noise or (one.kind.shares_noise and bool(one.condition.sigma))


def select(field: Field, published: Sequence[PublishedPoint]) -> Selection:
    """The best single perturbation and the best condition of each arm, judged on the held-out half."""
    lines = _lines(field, published)
    if not field.can_be_halved:
        return Selection(SPLIT_SEED, None, (), (), lines, (*field.notes, TooFewProblems(len(field.indices))))
    perturbation = _best_perturbation(field)
    too_few = bool(field.sigmas) and perturbation is None
    return Selection(
        seed=SPLIT_SEED,
        perturbation=perturbation,
        temperatures=_best_conditions(field, field.temperatures),
        sigmas=_best_conditions(field, field.sigmas),
        lines=lines,
        notes=(*field.notes, TooFewPerturbations()) if too_few else field.notes,
    )


def _best_perturbation(field: Field) -> Chosen | None:
    """The seed and sigma that solves most problems of the selection half, decoded greedily; None without two."""
    candidates = []
    for condition in field.sigmas:
        verdicts = condition.outcomes.rows(condition.rows(field.indices))
        for column in np.flatnonzero(verdicts.stored.all(axis=0)):
            candidates.append((condition, int(condition.correctness.seeds[column]), verdicts.correct[:, column]))
    if len(candidates) < 2:
        return None
    matrix = np.stack([verdicts for _, _, verdicts in candidates], axis=1)
    selecting, held_out = matrix[field.selecting], matrix[~field.selecting]
    scores = selecting.mean(axis=0)
    winner = int(np.argmax(scores))  # the first of equals: the smaller sigma as stored, then the lower seed
    condition, seed, _ = candidates[winner]
    judged = held_out[:, winner].astype(np.float64)[:, None]
    around = interval(judged[:, 0], float(spread(judged)[0]), len(judged))
    mean = float(held_out.mean())
    return Chosen(
        condition=condition.id,
        seed=seed,
        k=1,
        candidates=len(candidates),
        selected_on=len(selecting),
        judged_on=len(held_out),
        selection_score=float(scores[winner]),
        estimate=float(judged.mean()),
        ci_low=around.low,
        ci_high=around.high,
        mean=mean,
        optimism=float(scores[winner] - scores.mean() - (judged.mean() - mean)),
        expected_optimism=expected_selection_bias(selecting.mean(axis=1), len(candidates)),
    )


def _best_conditions(field: Field, arm: Sequence[Loaded]) -> tuple[Chosen, ...]:
    """The best condition of an arm at each primary k for which one has enough rollouts."""
    found = []
    for k in PRIMARY_KS:
        able = [c for c in arm if c.outcomes.rows(c.rows(field.indices)).n_min >= k]
        if not able:
            continue
        selecting = np.array([c.side(field.selected_on, (k,)).values.mean() for c in able])
        held_out = np.array([c.side(field.judged_on, (k,)).values.mean() for c in able])
        winner = int(np.argmax(selecting))
        best = able[winner]
        (around,) = intervals(best.outcomes.rows(best.rows(field.judged_on)), [k], best.kind)
        found.append(
            Chosen(
                condition=best.id,
                seed=None,
                k=k,
                candidates=len(able),
                selected_on=len(field.selected_on),
                judged_on=len(field.judged_on),
                selection_score=float(selecting[winner]),
                estimate=float(held_out[winner]),
                ci_low=around.low,
                ci_high=around.high,
                mean=float(held_out.mean()),
                optimism=float(selecting[winner] - selecting.mean() - (held_out[winner] - held_out.mean())),
                expected_optimism=None,
            )
        )
    return tuple(found)


def _lines(field: Field, published: Sequence[PublishedPoint]) -> tuple[ReferenceLine, ...]:
    lines = [ReferenceLine(p.model, p.method, p.estimate, None, None) for p in published]
    greedy = field.greedy
    if greedy is not None and len(field.judged_on) > 1:
        outcomes = greedy.outcomes.rows(greedy.rows(field.judged_on))
        (around,) = intervals(outcomes, [1], greedy.kind)
        model = short_names([greedy.condition.model])[greedy.condition.model]
        lines.insert(0, ReferenceLine(model, None, float(outcomes.c.mean()), around.low, around.high))
    return tuple(lines)
