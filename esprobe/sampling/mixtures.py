"""Warnings before new rollouts are added to stored ones that were drawn or scored in another way."""

import shlex
from collections.abc import Iterator, Sequence

from esprobe.engines import find_engine
from esprobe.records import SessionRecord, computing, several_devices, several_versions
from esprobe.sampling.observer import Observer
from esprobe.store import RolloutStore
from esprobe.tasks import Task
from esprobe.tasks.source import source_digest
from esprobe.workers import provenance
from esprobe.workers.pool import WorkerPool


def warn_before(
    store: RolloutStore, conditions: Sequence[int], scorer: str, task: Task, engine: str, observer: Observer
) -> None:
    """Warn where new rollouts would differ from the stored ones in their scorer or in what computes them.

    Args:
        store: the database.
        conditions: ids of the conditions that are about to be sampled.
        scorer: of the new rollouts.
        task: theirs.
        engine: name of theirs.
        observer: receives the warnings.
    """
    sessions = list(_sessions(store, conditions))
    others = {session.scorer for session in sessions} - {scorer}
    if others:
        # A task file that was edited has its new scorer only.
        offered = min(others & set(task.scorers), default=scorer)
        observer.warning(
            f"the stored rollouts are scored by {', '.join(sorted(others))}, new ones are by "
            f"{scorer}, and figures would mix the two; when this run is done: esprobe rescore --db "
            f"{shlex.quote(str(store.path))} --scorer {offered} --write"
        )
    digest = source_digest(task)
    sources = {session.scorer_digest for session in sessions if session.scorer == scorer and session.rollouts}
    if digest is not None and sources - {None, digest}:
        observer.warning(
            f"the source of scorer {scorer} has changed since it scored the stored rollouts, and figures would mix the "
            f"two; when this run is done: esprobe rescore --db {shlex.quote(str(store.path))} --scorer {scorer} "
            f"--force --write"
        )
    before = [session.drawn_with for session in sessions]
    now = computing(provenance.versions(), engine, find_engine(engine).traits.revision)
    if mixed := several_versions([*before, now]):
        observer.warning(
            f"rollouts of one condition would come from several versions ({', '.join(mixed)}), and the same seed "
            f"may give another completion under each; resume with the versions of the stored ones, or use another "
            f"--db"
        )


def warn_of_devices(store: RolloutStore, conditions: Sequence[int], pool: WorkerPool, observer: Observer) -> None:
    """Warn where the new rollouts would come from another kind of device than the stored ones."""
    stored_on = [worker for session in _sessions(store, conditions) for worker in session.workers]
    if mixed := several_devices([*stored_on, pool.ready.hardware]):
        observer.warning(
            f"rollouts of one condition would come from several kinds of devices ({', '.join(mixed)}), and the "
            f"same seed may give another completion on each; resume on the device of the stored ones, or use "
            f"another --db"
        )


def _sessions(store: RolloutStore, conditions: Sequence[int]) -> Iterator[SessionRecord]:
    for condition_id in conditions:
        yield from store.sessions(condition_id)
