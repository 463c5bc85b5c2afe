"""Curves of random guessing, for the problems of a database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from esprobe.analysis.available_tasks import find_task
from esprobe.analysis.loaded import Loaded
from esprobe.errors import TaskError
from esprobe.records.guessing import Guess
from esprobe.results.results import NullResult
from esprobe.spec import Condition, Problem
from esprobe.stats.curve import Curve, GroupCurve, expected_curve
from esprobe.store import RolloutStore
from esprobe.store.guessing import stored_guesses
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
        first: (P,) that of the first guess.
    """

    task: str
    data_digest: str
    label: str
    definition: str
    left_out: int
    indices: NDArray[np.int64]
    groups: tuple[str, ...]
    chances: NDArray[np.float64]
    first: NDArray[np.float64]

    def covers(self, condition: Condition) -> bool:
        """Whether a condition was sampled on this data set."""
        return (self.task, self.data_digest) == (condition.task, condition.data_digest)

    def result(self, ks: Sequence[int]) -> NullResult:
        """Its curve at some k, for all problems and by class."""
        classes = np.array(self.groups, dtype=object)
        by_group = tuple(GroupCurve(group, self._curve(classes == group, ks)) for group in sorted(set(self.groups)))
        everything = np.ones(len(classes), dtype=bool)
        return NullResult(self.label, self.definition, self._curve(everything, ks), by_group, self.left_out)

    def _curve(self, chosen: NDArray[np.bool_], ks: Sequence[int]) -> Curve:
        return expected_curve(self.chances[chosen], ks, first=self.first[chosen])


@dataclass(frozen=True)
class Nulls:
    """Curves of guessing.

    Attributes:
        found: one for each data set whose task defines guessing.
        failures: by the name of its task, why one could not be worked out.
    """

    found: tuple[Null, ...]
    failures: Mapping[str, str]

    @property
    def tasks(self) -> set[str]:
        """Names of the tasks that have one."""
        return {null.task for null in self.found}


def known_nulls(store: RolloutStore, loaded: Sequence[Loaded]) -> Nulls:
    """A null for each data set of the conditions: as stored when it was sampled, else by its task.

    There is none for a task that cannot be loaded and was sampled by an older esprobe; see ``unavailable_tasks``.

    Raises:
        DataError: a problem's inputs are not of its task's form.
    """
    stored = {(guess.task, guess.data_digest): guess for guess in stored_guesses(store)}
    sets: dict[tuple[str, str], list[Loaded]] = {}
    for one in loaded:
        if one.outcomes.problems:
            sets.setdefault((one.condition.task, one.condition.data_digest), []).append(one)
    found: list[Null] = []
    failures: dict[str, str] = {}
    for (name, digest), conditions in sets.items():
        problems = {p.index: Problem(p.index, p.inputs, p.group) for c in conditions for p in c.problems}
        ordered = [problems[index] for index in sorted(problems)]
        try:
            guess = _completed(stored.get((name, digest)), name, digest, ordered)
        except TaskError as error:
            failures[name], guess = str(error), stored.get((name, digest))
        null = None if guess is None else _null(guess, ordered)
        if null is not None:
            found.append(null if len(sets) == 1 else _told_apart(null))
    return Nulls(tuple(found), failures)


def _completed(stored: Guess | None, name: str, digest: str, problems: Sequence[Problem]) -> Guess | None:
    """What is stored, and from the task what is not: all of it in a file of an older esprobe."""
    known = {} if stored is None else stored.chances
    new = [problem for problem in problems if problem.index not in known]
    task = find_task(name) if new else None
    if not isinstance(task, Guessable):
        return stored
    chances = {p.index: chance for p, chance in zip(new, task.null_probabilities(new), strict=True)}
    if stored is not None:
        return replace(stored, chances={**known, **chances})
    return Guess(name, digest, task.null_label, task.null_description, chances)


def _null(guess: Guess, problems: Sequence[Problem]) -> Null | None:
    chances = ((problem, guess.chances.get(problem.index)) for problem in problems)
    known = [(problem, chance) for problem, chance in chances if chance is not None]
    if not known:
        return None
    return Null(
        task=guess.task,
        data_digest=guess.data_digest,
        label=guess.label,
        definition=guess.definition,
        left_out=len(problems) - len(known),
        indices=np.array([p.index for p, _ in known], np.int64),
        groups=tuple(p.group for p, _ in known),
        chances=np.array([chance for _, chance in known]),
        first=np.array([guess.first.get(p.index, chance) for p, chance in known]),
    )


def _told_apart(null: Null) -> Null:
    return replace(null, label=f"{null.label} ({null.task}, data {null.data_digest[:12]})")
