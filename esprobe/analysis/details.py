"""One condition beyond its curve: failures, answers, votes, costs and extrapolation beyond n."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.available_tasks import find_task
from esprobe.analysis.loaded import Loaded
from esprobe.errors import TaskError
from esprobe.records import Answers, Totals
from esprobe.results.detail import Detail
from esprobe.spec import Problem
from esprobe.stats.cost import cost_axes
from esprobe.stats.cover import cover_curve
from esprobe.stats.curve import Curve, GroupCurve, estimate_curve
from esprobe.stats.diversity import Diversity, diversity
from esprobe.stats.extrapolation import extrapolate
from esprobe.stats.histogram import correct_counts
from esprobe.stats.independence import independence
from esprobe.stats.taxonomy import taxonomy
from esprobe.stats.votes import NO_VALUE, Vote, vote_curve
from esprobe.store import RolloutStore, tallies
from esprobe.store.database import stored_problems
from esprobe.tasks import AnswerForms

LOOKED_AT = 20_000
"""Correct completions read per condition to count distinct answers."""

FEWEST_EACH, MOST_EACH = 4, 64
"""Bounds on the correct completions read per problem."""


def detail(store: RolloutStore, loaded: Loaded, totals: Totals, curve: Curve) -> Detail:
    """All that a report shows of a condition besides its curve.

    Args:
        store: the database it was read from.
        loaded: the condition.
        totals: sums over its rollouts.
        curve: its pass@k.

    Raises:
        StoreError: the file cannot be read, or a problem's inputs are not of its task's form.
    """
    outcomes, greedy = loaded.outcomes, not loaded.kind.is_sampled
    spent = tallies.spending(store, loaded.id)
    with stored_problems(store.path):
        forms, task_error = forms_of(loaded), None
        try:
            vote, alike = None if greedy else _vote(store, loaded, forms), _diversity(store, loaded, forms)
        except TaskError as error:
            forms, task_error = None, str(error)
            vote, alike = None if greedy else _vote(store, loaded, forms), _diversity(store, loaded, forms)
    return Detail(
        counts=correct_counts(outcomes.n, outcomes.c),
        cover=cover_curve(outcomes),
        taxonomy=taxonomy(tallies.tallies(store, loaded.id, loaded.problems)),
        cost=cost_axes(curve, totals.rollouts, totals.tokens, spent.rollouts, spent.generate_s, spent.switch_s),
        vote=vote,
        diversity=alike,
        independence=None if greedy else independence(outcomes),
        extrapolation=None if greedy else extrapolate(outcomes, loaded.kind),
        task_error=task_error,
    )


def curves_by_group(loaded: Loaded, ks: Sequence[int] | None = None) -> tuple[GroupCurve, ...]:
    """Its curve for each problem class alone, at ``ks`` or at every default k."""
    classes = np.array(loaded.correctness.groups, dtype=object)
    ks = (1,) if not loaded.kind.is_sampled else ks or loaded.ks
    return tuple(
        GroupCurve(group, estimate_curve(loaded.outcomes.rows(np.flatnonzero(classes == group)), loaded.kind, ks))
        for group in sorted(set(loaded.correctness.groups))
    )


def forms_of(loaded: Loaded) -> AnswerForms | None:
    """What says which answers of a condition are equal; None for their text."""
    task = find_task(loaded.condition.task)
    return task if isinstance(task, AnswerForms) else None


def _vote(store: RolloutStore, loaded: Loaded, forms: AnswerForms | None) -> Vote:
    found = tallies.answers(store, loaded.id, loaded.correctness, loaded.problems)
    codes = value_codes(loaded, found, forms)
    stored = int(loaded.outcomes.n.sum())
    missing = int((codes[loaded.correctness.stored] == NO_VALUE).sum())
    whole = loaded.correctness.stored.all(axis=0)
    points = vote_curve(codes[:, whole], loaded.correctness.correct[:, whole], loaded.kind)
    return Vote(points, missing / stored if stored else 0.0)


def value_codes(loaded: Loaded, found: Answers, forms: AnswerForms | None) -> NDArray[np.int32]:
    """(P, S) a code for each rollout's answer: equal codes for answers that are equal to the task, else as text.

    Raises:
        TaskError: the task fails.
    """
    if forms is None:
        return found.codes
    codes = np.full_like(found.codes, NO_VALUE)
    for row, problem in enumerate(_problems(loaded)):
        given, ranks = np.unique(found.codes[row], return_inverse=True)
        names: dict[object, int] = {}
        of_code = [
            NO_VALUE
            if code < 0 or (value := forms.value(problem, found.texts[code])) is None
            else names.setdefault(value, len(names))
            for code in given
        ]
        codes[row] = np.array(of_code, np.int32)[ranks]
    return codes


def _diversity(store: RolloutStore, loaded: Loaded, forms: AnswerForms | None) -> Diversity:
    each = max(FEWEST_EACH, min(MOST_EACH, LOOKED_AT // max(loaded.outcomes.problems, 1)))
    keys = [
        (int(index), int(seed))
        for index, verdicts in zip(loaded.correctness.problems, loaded.correctness.correct, strict=True)
        for seed in loaded.correctness.seeds[np.flatnonzero(verdicts)[:each]]
    ]
    return diversity(_spelled(store, loaded, keys, forms), each)


def _spelled(
    store: RolloutStore, loaded: Loaded, keys: list[tuple[int, int]], forms: AnswerForms | None
) -> Iterator[tuple[int, str]]:
    """(problem, the one spelling of its answer) of some rollouts."""
    texts = tallies.texts(store, loaded.id, loaded.problems, keys)
    if forms is None:
        yield from texts
        return
    problems = {problem.index: problem for problem in _problems(loaded)}
    for index, completion in texts:
        if (spelled := forms.expression(problems[index], completion)) is not None:
            yield index, spelled


def _problems(loaded: Loaded) -> list[Problem]:
    """The condition's problems, in the order of its rows."""
    return [Problem(p.index, p.inputs, p.group) for p in loaded.problems]
