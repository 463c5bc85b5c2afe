"""Stores how often guessing is right, so that a report does not need the task."""

from collections.abc import Sequence

from esprobe.errors import TaskError
from esprobe.sampling.observer import Observer
from esprobe.spec import Problem
from esprobe.store import RolloutWriter
from esprobe.store.guessing import stored_guesses
from esprobe.store.guessing_writer import record_guess
from esprobe.tasks import DataSet, Task
from esprobe.tasks.guessing import guess_of


def store_chances(
    store: RolloutWriter, task: Task, data: DataSet, problems: Sequence[Problem], observer: Observer
) -> None:
    """Store the chances of guessing the problems, of those that are not stored yet; nothing if the task has none.

    Args:
        store: the database.
        task: the task.
        data: its data set.
        problems: those that are sampled.
        observer: warned if the task fails.
    """
    key = (task.name, data.digest)
    known = next((guess.chances for guess in stored_guesses(store) if (guess.task, guess.data_digest) == key), {})
    new = [problem for problem in problems if problem.index not in known]
    if not new:
        return
    try:
        guess = guess_of(task, data, new)
    except TaskError as error:
        observer.warning(f"reports of this database will lack the curve of random guessing: {error}")
        return
    if guess is not None:
        record_guess(store, guess)
