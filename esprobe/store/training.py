"""Training runs in a database: their recipes, and what each iteration did."""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from esprobe.errors import RolloutConflictError, StoreError
from esprobe.records import Extent
from esprobe.records.training import Iteration, Member, TrainingRun
from esprobe.spec import digest_of
from esprobe.store import migrations
from esprobe.store.database import damaged, parsed
from esprobe.store.reader import RolloutStore
from esprobe.store.writer import RolloutWriter
from esprobe.trajectory import Trajectory, Update, fingerprint_of

_MIGRATION = "m005_training"


class Reward(NamedTuple):
    """The reward of one rollout."""

    seed: int
    problem_index: int
    reward: float


def training_runs(store: RolloutStore) -> list[TrainingRun]:
    """Every training run, in the order of registration; empty for a file that is older than training.

    Raises:
        StoreError: a recipe does not match its digest, or iterations are missing or malformed: the file is damaged.
    """
    with store.reading() as connection:
        if _MIGRATION not in migrations.applied(connection):
            return []
        rows = connection.execute("SELECT id, digest, model, recipe FROM training ORDER BY id").fetchall()
        return [_run(store, connection, *row) for row in rows]


def trajectory_of(run: TrainingRun, path: Path) -> Trajectory:
    """The updates of a run's finished iterations.

    Args:
        run: the run.
        path: its database, for messages.

    Raises:
        StoreError: an iteration's update does not match its digest: the file is damaged.
    """
    made = Trajectory(run.digest, run.recipe["noise"], run.recipe["scope"])
    for number, done in enumerate(run.iterations):
        made = made.extended(update_of(done))
        if made.digest != done.trajectory:
            raise StoreError(
                damaged(path, f"the update of iteration {number} of training run {run.id} does not match its digest")
            )
    return made


def update_of(done: Iteration) -> Update:
    """What an iteration added to the weights."""
    members = done.members
    return Update(tuple(member.seed for member in members), tuple(member.coefficient for member in members))


def population_size(run: TrainingRun) -> int:
    """Rollouts of one iteration's population."""
    count: int = run.recipe["population"] * run.recipe["problems_per_iteration"]
    return count


def parsed_iteration(members: str, trajectory: str, state: str, norms: str) -> Iteration:
    """An iteration from the columns of its row.

    Raises:
        ValueError, TypeError: esprobe has not written them.
    """
    sizes = {kind: (change, weights) for kind, (change, weights) in json.loads(norms).items()}
    return Iteration(tuple(Member(*member) for member in json.loads(members)), trajectory, state, sizes)


def snapshots_of(database: Path) -> Path:
    """The folder for snapshots of trained weights: a cache beside the database, which may be deleted at any time."""
    return database.with_name(f"{database.name}.snapshots")


def trained_models(store: RolloutStore) -> dict[str, tuple[int, int]]:
    """(run id, iteration) of every model that a training run of the file has passed through, by fingerprint.

    Iteration t is the model after t updates; the base itself is left out.
    """
    return {
        fingerprint_of(done.trajectory): (run.id, number + 1)
        for run in training_runs(store)
        for number, done in enumerate(run.iterations)
    }


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


def rewards(store: RolloutStore, condition_id: int) -> list[Reward]:
    """The rewards of a condition's rollouts, by seed and then by problem index."""
    query = (
        "SELECT seed, problem_index, reward FROM rollout JOIN problem ON problem.id = problem_id "
        "WHERE condition_id = ? ORDER BY seed, problem_index"
    )
    with store.reading() as connection:
        return [Reward(*row) for row in connection.execute(query, (condition_id,))]


def stored_keys(store: RolloutStore, condition_id: int, seeds: Collection[int]) -> set[tuple[int, int]]:
    """(problem id, seed) of a condition's rollouts under these seeds."""
    query = "SELECT problem_id, seed FROM rollout WHERE condition_id = ? AND seed IN (SELECT value FROM json_each(?))"
    with store.reading() as connection:
        return set(connection.execute(query, (condition_id, json.dumps(list(seeds)))))


def _run(
    store: RolloutStore, connection: Connection, id_: int, digest: str, model: str, recipe_json: str
) -> TrainingRun:
    with parsed(store.path, f"training run {id_}"):
        recipe = json.loads(recipe_json)
    if digest_of(recipe) != digest:
        raise StoreError(damaged(store.path, f"training run {id_} does not match its digest"))
    query = (
        "SELECT iteration, members, trajectory, state, norms FROM iteration WHERE training_id = ? ORDER BY iteration"
    )
    found: list[Iteration] = []
    for number, *columns in connection.execute(query, (id_,)):
        if number != len(found):
            raise StoreError(damaged(store.path, f"training run {id_} lacks iteration {len(found)}"))
        with parsed(store.path, f"iteration {number} of training run {id_}"):
            found.append(parsed_iteration(*columns))
    return TrainingRun(id_, digest, model, recipe, tuple(found))
