"""The verdict: the rule of ``stats.verdict`` applied to the winners on the held-out problems.

docs/statistics.md states the rule; nothing here may depend on what the data turned out to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.choose import Field
from esprobe.analysis.loaded import Loaded
from esprobe.analysis.nulls import Null
from esprobe.analysis.pairs import null_side, shares_seeds
from esprobe.spec import Kind
from esprobe.stats.difference import paired_difference
from esprobe.stats.multiplicity import holm
from esprobe.stats.selection import Chosen, Selection
from esprobe.stats.side import Side
from esprobe.stats.verdict import (
    PRIMARY_KS,
    ArmTooFewProblems,
    ArmTooFewRollouts,
    ContrastResult,
    Missing,
    NoArm,
    NoNull,
    NoSigma0,
    Reference,
    Verdict,
    outcome_of,
)

_ARMS = (Kind.TEMPERATURE, Kind.PERTURBATION)

_Best = Mapping[int, Loaded]
"""The best condition of an arm at each primary k."""


def judge(field: Field | None, selection: Selection | None, nulls: Sequence[Null]) -> Verdict:
    """The pre-declared contrasts on the held-out problems."""
    if field is None or selection is None:
        return Verdict((), (), (), (), tuple(NoArm(arm) for arm in _ARMS))
    held_out = field.judged_on
    best = {
        Kind.TEMPERATURE: _winners(field.temperatures, selection.temperatures),
        Kind.PERTURBATION: _winners(field.sigmas, selection.sigmas),
    }
    null = _null_of(field, nulls)
    return Verdict(
        primary=_adjusted(_primary(best[Kind.TEMPERATURE], best[Kind.PERTURBATION], held_out)),
        against_null=_adjusted([] if null is None else _against_null(best, null, held_out)),
        against_greedy=_adjusted([] if field.greedy is None else _against_greedy(best, field.greedy, held_out)),
        against_zero=_adjusted(
            [] if field.zero is None else _against_zero(best[Kind.PERTURBATION], field.zero, held_out)
        ),
        missing=_missing(field, selection, has_null=null is not None),
    )


def _winners(arm: Sequence[Loaded], chosen: Sequence[Chosen]) -> _Best:
    by_id = {c.id: c for c in arm}
    return {one.k: by_id[one.condition] for one in chosen}


def _null_of(field: Field, nulls: Sequence[Null]) -> Null | None:
    """The null that covers the candidates and all held-out problems."""
    condition = (*field.temperatures, *field.sigmas)[0].condition
    null = next((null for null in nulls if null.covers(condition)), None)
    return null if null is not None and np.isin(field.judged_on, null.indices).all() else None


def _primary(best_t: _Best, best_s: _Best, held_out: NDArray[np.int64]) -> list[ContrastResult]:
    return [
        _contrast(
            Kind.PERTURBATION,
            Reference.BEST_TEMPERATURE,
            (best_t[k].label, best_t[k].side(held_out, (k,))),
            (best_s[k].label, best_s[k].side(held_out, (k,))),
        )
        for k in PRIMARY_KS
        if k in best_t and k in best_s
    ]


def _against_null(best: Mapping[Kind, _Best], null: Null, held_out: NDArray[np.int64]) -> list[ContrastResult]:
    return [
        _contrast(
            arm,
            Reference.GUESSING,
            (null.label, null_side(null, held_out, (k,))),
            (condition.label, condition.side(held_out, (k,))),
        )
        for arm, winners in best.items()
        for k, condition in winners.items()
    ]


def _against_greedy(best: Mapping[Kind, _Best], greedy: Loaded, held_out: NDArray[np.int64]) -> list[ContrastResult]:
    return [
        _contrast(
            arm,
            Reference.GREEDY,
            (greedy.label, greedy.side(held_out, (1,))),
            (winners[1].label, winners[1].side(held_out, (1,))),
        )
        for arm, winners in best.items()
        if 1 in winners
    ]


def _against_zero(best_s: _Best, zero: Loaded, held_out: NDArray[np.int64]) -> list[ContrastResult]:
    n_min = zero.outcomes.rows(zero.rows(held_out)).n_min
    return [
        _contrast(
            Kind.PERTURBATION,
            Reference.SIGMA_0,
            (zero.label, zero.side(held_out, (k,))),
            (condition.label, condition.side(held_out, (k,))),
            shared_seeds=shares_seeds(zero, condition),
        )
        for k, condition in best_s.items()
        if k <= n_min
    ]


def _contrast(
    arm: Kind, reference: Reference, a: tuple[str, Side], b: tuple[str, Side], *, shared_seeds: bool = False
) -> ContrastResult:
    """B against A, each a label and a side at one k; p not yet adjusted, without an outcome."""
    (point,) = paired_difference(a[1], b[1], shared_seeds=shared_seeds).points
    return ContrastResult(
        arm=arm,
        reference=reference,
        k=point.k,
        a=a[0],
        b=b[0],
        pass_a=point.a,
        pass_b=point.b,
        estimate=point.estimate,
        ci_low=point.ci_low,
        ci_high=point.ci_high,
        p_holm=point.p,
    )


def _adjusted(contrasts: Sequence[ContrastResult]) -> tuple[ContrastResult, ...]:
    """The same with p adjusted for all of them, and the outcome by the rule."""
    adjusted = zip(contrasts, holm([c.p_holm for c in contrasts]), strict=True)
    return tuple(replace(c, p_holm=p, outcome=outcome_of(c.estimate, c.ci_low, c.ci_high, p)) for c, p in adjusted)


def _missing(field: Field, selection: Selection, *, has_null: bool) -> tuple[Missing, ...]:
    missing: list[Missing] = []
    arms = (field.temperatures, field.sigmas)
    for kind, arm, chosen in zip(_ARMS, arms, (selection.temperatures, selection.sigmas), strict=True):
        if not arm:
            missing.append(NoArm(kind))
        elif not field.can_be_halved:
            missing.append(ArmTooFewProblems(kind, len(field.indices)))
        elif absent := tuple(k for k in PRIMARY_KS if k not in {c.k for c in chosen}):
            missing.append(ArmTooFewRollouts(kind, absent))
    if not has_null:
        missing.append(NoNull())
    if field.zero is None:
        missing.append(NoSigma0())
    return tuple(missing)
