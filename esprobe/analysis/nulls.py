"""Curves of random guessing, for the problems of a database."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.available_tasks import find_task
from esprobe.analysis.loaded import Loaded
from esprobe.results.results import NullResult
from esprobe.spec import Condition, Problem
from esprobe.stats.curve import GroupCurve, expected_curve
from esprobe.tasks import Guessable


@dataclass(frozen=True, eq=False)
class Null:
    """The chance that random guessing solves each problem of one data set.

    Attributes:
        task: name of the task.
        data_digest: of its data.
        label: how tables name it.
        definition: how guesses are drawn, in one sentence.
        left_out: problems for which it is not known.
        indices: (P,) the problems for which it is known, ascending.
        groups: their classes.
        chances: (P,) chance that one guess is right.
    """

    task: str
    data_digest: str
    label: str
    definition: str
    left_out: int
    indices: NDArray[np.int64]
    groups: tuple[str, ...]
    chances: NDArray[np.float64]

    def covers(self, condition: Condition) -> bool:
        """Whether a condition was sampled on this data set."""
        return (self.task, self.data_digest) == (condition.task, condition.data_digest)

    def result(self, ks: Sequence[int]) -> NullResult:
        """Its curve at some k, for all problems and by class."""
        classes = np.array(self.groups, dtype=object)
        by_group = tuple(
            GroupCurve(group, expected_curve(self.chances[classes == group], ks)) for group in sorted(set(self.groups))
        )
        return NullResult(self.label, self.definition, expected_curve(self.chances, ks), by_group, self.left_out)


def known_nulls(loaded: Sequence[Loaded]) -> tuple[Null, ...]:
    """A null for each data set of the conditions, if its task defines one.

    There is none for a task that cannot be loaded; see ``unavailable_tasks``.

    Raises:
        DataError: a problem's inputs are not of its task's form.
    """
    sets: dict[tuple[str, str], list[Loaded]] = {}
    for one in loaded:
        if one.outcomes.problems:
            sets.setdefault((one.condition.task, one.condition.data_digest), []).append(one)
    found: list[Null] = []
    for (name, digest), conditions in sets.items():
        task = find_task(name)
        if isinstance(task, Guessable):
            null = _null(task, name, digest, conditions)
            if null is not None:
                found.append(null if len(sets) == 1 else _told_apart(null))
    return tuple(found)


def _null(task: Guessable, name: str, digest: str, conditions: Sequence[Loaded]) -> Null | None:
    problems = {p.index: Problem(p.index, p.inputs, p.group) for c in conditions for p in c.problems}
    ordered = [problems[index] for index in sorted(problems)]
    chances = task.null_probabilities(ordered)
    known = [(p, chance) for p, chance in zip(ordered, chances, strict=True) if chance is not None]
    if not known:
        return None
    return Null(
        task=name,
        data_digest=digest,
        label=task.null_label,
        definition=task.null_description,
        left_out=len(ordered) - len(known),
        indices=np.array([p.index for p, _ in known], np.int64),
        groups=tuple(p.group for p, _ in known),
        chances=np.array([chance for _, chance in known]),
    )


def _told_apart(null: Null) -> Null:
    return replace(null, label=f"{null.label} ({null.task}, data {null.data_digest[:12]})")
