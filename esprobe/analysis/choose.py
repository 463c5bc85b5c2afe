"""The best of many, chosen on one half of the problems and judged on the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.loaded import Loaded
from esprobe.records import PublishedPoint
from esprobe.spec import Kind
from esprobe.stats.intervals import interval, intervals, spread
from esprobe.stats.selection import SPLIT_SEED, Chosen, ReferenceLine, Selection, expected_selection_bias, split
from esprobe.stats.verdict import PRIMARY_KS


@dataclass(frozen=True, eq=False)
class Field:
    """The conditions of one model that are chosen among, on the problems that all of them have.

    Attributes:
        temperatures: the temperature arm.
        sigmas: the perturbation arm, sigma 0 left out: it perturbs nothing.
        zero: sigma 0, if it was drawn on all of the common problems.
        greedy: the baseline, if it was drawn on all of them.
        indices: (P,) the common problems.
        choosing: (P,) True for the half that is chosen on.
        notes: what was left out and why, in words.
    """

    temperatures: tuple[Loaded, ...]
    sigmas: tuple[Loaded, ...]
    zero: Loaded | None
    greedy: Loaded | None
    indices: NDArray[np.int64]
    choosing: NDArray[np.bool_]
    notes: tuple[str, ...]

    @property
    def chosen_on(self) -> NDArray[np.int64]:
        """Problems to choose on."""
        return self.indices[self.choosing]

    @property
    def judged_on(self) -> NDArray[np.int64]:
        """Problems that no choice sees."""
        return self.indices[~self.choosing]

    @property
    def can_be_halved(self) -> bool:
        """Whether there is a problem to choose on, and enough others for an interval."""
        return len(self.chosen_on) > 0 and len(self.judged_on) > 1

    @property
    def too_few(self) -> str:
        """Why it cannot be halved."""
        count = len(self.indices)
        return f"{count} {'problem is' if count == 1 else 'problems are'} too few to choose on some and judge on others"


def field_of(loaded: Sequence[Loaded]) -> Field | None:
    """What is chosen among, from the design alone, whatever was solved; None without a condition to choose.

    Conditions of one model, data, prompt, precision and length: those that hold most rollouts. A condition over less
    than half of the problems of the widest one of its arm, such as a scan leaves, would shrink what all are judged on,
    and is left out.
    """
    kinds: dict[tuple[object, ...], list[Loaded]] = {}
    for one in loaded:
        if one.outcomes.problems:
            c = one.condition
            key = (c.model_fingerprint, c.data_digest, c.prompt_digest, c.dtype, c.max_tokens, c.stop_loops)
            kinds.setdefault(key, []).append(one)
    alike = {key: found for key, found in kinds.items() if any(map(_is_candidate, found))}
    if not alike:
        return None
    found = max(alike.values(), key=lambda conditions: sum(int(c.outcomes.n.sum()) for c in conditions))
    notes = []
    if len(kinds) > 1:
        c = found[0].condition
        notes.append(
            f"chosen among conditions of {c.model} ({c.dtype}, up to {c.max_tokens} tokens) alone; name others with "
            "--condition to choose among them"
        )
    candidates = [c for c in found if _is_candidate(c)]
    arms = [c for c in candidates if 2 * c.outcomes.problems >= _widest(candidates, c.kind)]
    if narrow := [c.label for c in candidates if c not in arms]:
        notes.append(f"drawn on less than half of the problems of its arm's widest, and left out: {', '.join(narrow)}")
    indices = asked = arms[0].correctness.problems
    for other in arms[1:]:
        indices = np.intersect1d(indices, other.correctness.problems)
        asked = np.union1d(asked, other.correctness.problems)
    if left := len(asked) - len(indices):
        notes.append(f"{left} problems that not every condition has are left out")

    def over_them(conditions: Iterable[Loaded]) -> Loaded | None:
        return next((c for c in conditions if np.isin(indices, c.correctness.problems).all()), None)

    greedy = over_them(c for c in found if not c.kind.is_sampled)
    if greedy is None:
        notes.append(
            "no greedy baseline over these problems is among these conditions, so nothing here says what the "
            "unperturbed model does"
        )
    return Field(
        temperatures=tuple(c for c in arms if c.kind is Kind.TEMPERATURE),
        sigmas=tuple(c for c in arms if c.kind.shares_noise),
        zero=over_them(c for c in found if c.kind.shares_noise and not c.condition.sigma),
        greedy=greedy,
        indices=indices,
        choosing=split(indices, [arms[0].correctness.groups[row] for row in arms[0].rows(indices)]),
        notes=tuple(notes),
    )


def _widest(candidates: Sequence[Loaded], kind: Kind) -> int:
    return max(c.outcomes.problems for c in candidates if c.kind == kind)


def _is_candidate(one: Loaded) -> bool:
    """Whether there is anything to choose: a temperature, or a sigma that perturbs something."""
    return one.kind is Kind.TEMPERATURE or (one.kind.shares_noise and bool(one.condition.sigma))


def select(field: Field, published: Sequence[PublishedPoint]) -> Selection:
    """The best single perturbation and the best condition of each arm, judged on problems that no choice has seen."""
    notes = list(field.notes)
    if not field.can_be_halved:
        notes.append(field.too_few)
        return Selection(SPLIT_SEED, None, (), (), _lines(field, published), tuple(notes))
    return Selection(
        seed=SPLIT_SEED,
        perturbation=_best_perturbation(field, notes),
        temperatures=_best_conditions(field, field.temperatures),
        sigmas=_best_conditions(field, field.sigmas),
        lines=_lines(field, published),
        notes=tuple(notes),
    )


def _best_perturbation(field: Field, notes: list[str]) -> Chosen | None:
    """The seed and sigma that solves most problems of the one half, greedily decoded, on the other."""
    candidates = []
    for condition in field.sigmas:
        verdicts = condition.outcomes.rows(condition.rows(field.indices))
        for column in np.flatnonzero(verdicts.stored.all(axis=0)):
            candidates.append((condition, int(condition.correctness.seeds[column]), verdicts.correct[:, column]))
    if len(candidates) < 2:
        if field.sigmas:
            notes.append("fewer than two perturbations have met every problem, so there is none to choose")
        return None
    matrix = np.stack([verdicts for _, _, verdicts in candidates], axis=1)
    seen, unseen = matrix[field.choosing], matrix[~field.choosing]
    looked = seen.mean(axis=0)
    winner = int(np.argmax(looked))  # the first of equals: the smaller sigma as stored, then the lower seed
    condition, seed, _ = candidates[winner]
    judged = unseen[:, winner].astype(np.float64)[:, None]
    around = interval(judged[:, 0], float(spread(judged)[0]), len(judged))
    average = float(unseen.mean())
    return Chosen(
        condition=condition.id,
        seed=seed,
        k=1,
        candidates=len(candidates),
        selected_on=len(seen),
        judged_on=len(unseen),
        looked=float(looked[winner]),
        estimate=float(judged.mean()),
        ci_low=around.low,
        ci_high=around.high,
        average=average,
        optimism=float(looked[winner] - looked.mean() - (judged.mean() - average)),
        expected_optimism=expected_selection_bias(seen.mean(axis=1), len(candidates)),
    )


def _best_conditions(field: Field, arm: Sequence[Loaded]) -> tuple[Chosen, ...]:
    found = []
    for k in PRIMARY_KS:
        able = [c for c in arm if c.outcomes.rows(c.rows(field.indices)).n_min >= k]
        if not able:
            continue
        seen = np.array([c.side(field.chosen_on, (k,)).values.mean() for c in able])
        unseen = np.array([c.side(field.judged_on, (k,)).values.mean() for c in able])
        winner = int(np.argmax(seen))
        best = able[winner]
        (around,) = intervals(best.outcomes.rows(best.rows(field.judged_on)), [k], best.kind)
        found.append(
            Chosen(
                condition=best.id,
                seed=None,
                k=k,
                candidates=len(able),
                selected_on=len(field.chosen_on),
                judged_on=len(field.judged_on),
                looked=float(seen[winner]),
                estimate=float(unseen[winner]),
                ci_low=around.low,
                ci_high=around.high,
                average=float(unseen.mean()),
                optimism=float(seen[winner] - seen.mean() - (unseen[winner] - unseen.mean())),
                expected_optimism=None,
            )
        )
    return tuple(found)


def _lines(field: Field, published: Sequence[PublishedPoint]) -> tuple[ReferenceLine, ...]:
    lines = []
    if field.greedy is not None and len(field.judged_on) > 1:
        outcomes = field.greedy.outcomes.rows(field.greedy.rows(field.judged_on))
        (around,) = intervals(outcomes, [1], Kind.GREEDY)
        label = f"greedy baseline, {field.greedy.condition.model}, the same problems"
        lines.append(ReferenceLine(label, float(outcomes.c.mean()), around.low, around.high, True))
    return (
        *lines,
        *(ReferenceLine(f"{p.method}, {p.model}, published", p.estimate, None, None, False) for p in published),
    )
