"""What must be true of a stored training run before more is added to it."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from esprobe.errors import StoreError, UsageError
from esprobe.maintenance.training_checks import training
from esprobe.records.training import TrainingRun
from esprobe.store import RolloutStore
from esprobe.store.database import damaged


def check_recipe(recipe: Mapping[str, Any], runs: Sequence[TrainingRun]) -> str | None:
    """Hold a new recipe against the runs of a file; returns a notice where it looks like one of them with a change.

    Raises:
        UsageError: it differs from a run in nothing but the scorer, which a run may not change.
    """
    closest: tuple[int, str] | None = None
    for run in runs:
        differing = [key for key in recipe if recipe[key] != run.recipe.get(key)]
        if not differing:
            return None
        if differing == ["scorer"]:
            raise UsageError(
                f"the fitness of training run {run.id} is by {run.recipe['scorer']}, and this command scores by "
                f"{recipe['scorer']}, so its iterations would follow two different rewards; go on with --scorer "
                f"{run.recipe['scorer']}, or train into another --db"
            )
        words = ", ".join(f"{key} ({run.recipe.get(key)!r} there, {recipe[key]!r} now)" for key in differing)
        if closest is None or len(differing) < closest[0]:
            closest = len(differing), f"this is a new training run; it differs from run {run.id} in {words}"
    return closest[1] if closest is not None else None


def check_updates(store: RolloutStore, run: TrainingRun) -> None:
    """Refuse to go on where a stored update does not follow from the stored rewards.

    Raises:
        StoreError: the file is damaged, or was edited.
    """
    first = next(training(store, run), None)
    if first is not None:
        raise StoreError(damaged(store.path, first))


def check_scorers(store: RolloutStore, run: TrainingRun, conditions: Sequence[int]) -> None:
    """Refuse to go on where rollouts of the run have been scored by another scorer than its own.

    Raises:
        StoreError: names the scorer.
    """
    for condition_id in conditions:
        others = set(store.scorers(condition_id)) - {run.recipe["scorer"]}
        if others:
            raise StoreError(
                f"the rollouts of condition {condition_id} of training run {run.id} are scored by {min(others)} now, "
                f"and the run's fitness is by {run.recipe['scorer']}, so its next update would follow other rewards; "
                f"undo that with: esprobe rescore --db {shlex.quote(str(store.path))} --scorer {run.recipe['scorer']} "
                f"--write"
            )
