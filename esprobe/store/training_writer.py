"""Writing training runs: recipes, and what each iteration did."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from esprobe.errors import RolloutConflictError
from esprobe.records import Extent
from esprobe.records.training import Iteration, TrainingRun
from esprobe.spec import digest_of
from esprobe.store.reader import RolloutStore
from esprobe.store.training import training_runs, trajectory_of
from esprobe.store.writer import RolloutWriter


def register_run(store: RolloutWriter, model: str, recipe: Mapping[str, Any]) -> TrainingRun:
    """The run with this recipe, which is stored first if it is new.

    Args:
        store: the database.
        model: the base model's name, for people.
        recipe: JSON-serialisable.
    """
    digest = digest_of(dict(recipe))
    with store.reading() as connection:
        connection.execute(
            "INSERT INTO training (digest, model, recipe, started_utc) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (digest) DO NOTHING",
            (digest, model, json.dumps(dict(recipe)), datetime.now(UTC).isoformat(timespec="seconds")),
        )
    return next(run for run in training_runs(store) if run.digest == digest)


def record_iteration(store: RolloutWriter, run_id: int, number: int, iteration: Iteration) -> None:
    """Store what an iteration did, once all of its rollouts are stored."""
    members = json.dumps([list(member) for member in iteration.members])
    norms = json.dumps(dict(iteration.norms))
    with store.reading() as connection:
        connection.execute(
            "INSERT INTO iteration VALUES (?, ?, ?, ?, ?, ?)",
            (run_id, number, members, iteration.trajectory, iteration.state, norms),
        )


def copy_runs(source: RolloutStore, target: RolloutWriter) -> None:
    """Copy the training runs of ``source`` that ``target`` lacks, and the iterations that it lacks of the others.

    Raises:
        RolloutConflictError: both have an iteration of one run with different updates.
        StoreError: an update does not match its digest: the source is damaged.
    """
    for theirs in training_runs(source):
        trajectory_of(theirs, source.path)
        ours = register_run(target, theirs.model, theirs.recipe)
        for number, done in enumerate(theirs.iterations):
            if number >= len(ours.iterations):
                record_iteration(target, ours.id, number, done)
            elif done[:3] != ours.iterations[number][:3]:  # norms may differ in their last digits
                raise RolloutConflictError(
                    f"iteration {number} of the training run {theirs.digest[:12]} has one update in {source.path} and "
                    f"another in {target.path}, so its later iterations belong to different models; merge "
                    f"{source.path} into another file"
                )


def add_to_session(store: RolloutWriter, session_id: int, extents: Mapping[int, Extent]) -> None:
    """Add conditions to the plan of a session that has begun; those it has already are left as they are."""
    with store.reading() as connection:
        connection.executemany(
            "INSERT INTO work (session_id, condition_id, first_index, stop_index, first_seed, samples, problems, "
            "rollouts, tokens, generate_s, switch_s) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0.0, 0.0) "
            "ON CONFLICT (session_id, condition_id) DO NOTHING",
            [
                (session_id, id_, e.first_index, e.stop_index, e.first_seed, e.samples, e.problems)
                for id_, e in extents.items()
            ],
        )
