"""Curves of guessing, for the problems that a database holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.loaded import Loaded
from esprobe.errors import EsprobeError
from esprobe.results.results import NullResult
from esprobe.spec import Condition, Problem
from esprobe.stats.curve import GroupCurve, expected_curve
from esprobe.tasks import Guessable, Task, load_task


@dataclass(frozen=True, eq=False)
class Null:
    """The chances of guessing on one data set.

    Attributes:
        task: name of the task.
        data_digest: of its data.
        label: how tables name it.
        description: its definition in one sentence, and over which problems it was worked out.
        indices: (P,) the problems it is known for, ascending.
        groups: their classes.
        chances: (P,) chance that one guess is right.
    """

    task: str
    data_digest: str
    label: str
    description: str
    indices: NDArray[np.int64]
    groups: tuple[str, ...]
    chances: NDArray[np.float64]

    def speaks_of(self, condition: Condition) -> bool:
        """Whether a condition was asked problems of this data set."""
        return (self.task, self.data_digest) == (condition.task, condition.data_digest)

    def result(self, ks: Sequence[int]) -> NullResult:
        """Its curve at some k, for all problems and by class."""
        classes = np.array(self.groups, dtype=object)
        by_group = tuple(
            GroupCurve(group, expected_curve(self.chances[classes == group], ks)) for group in sorted(set(self.groups))
        )
        return NullResult(self.label, self.description, expected_curve(self.chances, ks), by_group)


def known_nulls(loaded: Sequence[Loaded]) -> tuple[Null, ...]:
    """A null for each data set of the conditions, where its task brings one.

    A task that is not installed here, or whose own data cannot be read, brings none: a database is analysed all the
    same.

    Raises:
        DataError: a problem is not of its task's form.
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


@cache
def find_task(name: str) -> Task | None:
    """The task of that name with its default data; None where it cannot be had."""
    try:
        return load_task(name)
    except EsprobeError:
        return None


def _null(task: Guessable, name: str, digest: str, conditions: Sequence[Loaded]) -> Null | None:
    problems = {p.index: Problem(p.index, p.inputs, p.group) for c in conditions for p in c.problems}
    ordered = [problems[index] for index in sorted(problems)]
    chances = task.null_probabilities(ordered)
    known = [(p, chance) for p, chance in zip(ordered, chances, strict=True) if chance is not None]
    if not known:
        return None
    left_out = f"; not worked out for {len(ordered) - len(known)} more" if len(known) < len(ordered) else ""
    return Null(
        task=name,
        data_digest=digest,
        label=task.null_label,
        description=f"{task.null_description}; over {len(known):,} problems{left_out}",
        indices=np.array([p.index for p, _ in known], np.int64),
        groups=tuple(p.group for p, _ in known),
        chances=np.array([chance for _, chance in known]),
    )


def _told_apart(null: Null) -> Null:
    return replace(null, label=f"{null.label} ({null.task}, data {null.data_digest[:12]})")
