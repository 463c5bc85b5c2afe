"""One sampling command from job to summary: what it finds, what it owes, what it draws."""

import os
import re
import shlex
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from esprobe import engines
from esprobe.errors import SetAsideError, UsageError
from esprobe.records import Extent, computing, several_devices, several_versions
from esprobe.sampling.announce import announce_new
from esprobe.sampling.job import Job
from esprobe.sampling.loop import Loop
from esprobe.sampling.observer import Observer
from esprobe.sampling.plan import Plan, Planned
from esprobe.sampling.shard import WHOLE, Shard
from esprobe.sampling.stop import StopSignals
from esprobe.spec import digest_of
from esprobe.store import RolloutWriter
from esprobe.tasks import load_task
from esprobe.tasks.selection import past_the_end
from esprobe.workers import provenance
from esprobe.workers.pool import WorkerPool
from esprobe.workers.start import check_spec, start_pool
from esprobe.workers.worker import WorkerFingerprint

Outcome = Literal["complete", "done", "stopped"]


@dataclass(frozen=True)
class Summary:
    """How a sampling command ended: nothing was owed ("complete"), all was drawn ("done"), or it was "stopped".

    ``conditions`` are the store's ids, in the order of the job; ``problems`` counts the problems of its slice.
    """

    outcome: Outcome
    stored: int
    total: int
    drawn: int
    conditions: tuple[int, ...]
    problems: int


def run(job: Job, database: Path, observer: Observer, stop: StopSignals) -> Summary:
    """Draw what ``job`` asks for and ``database`` lacks. Nothing is loaded if nothing is owed.

    Raises:
        EsprobeError: the data, model, engine or database cannot be used; what was stored stays stored.
    """
    job = replace(job, engine=engines.resolve(job.engine))
    if job.stop_loops and not engines.find_engine(job.engine).traits.detects_loops:
        raise UsageError(
            f"--stop-loops is vLLM's, and the {job.engine} engine has none; leave it out or use --engine vllm"
        )
    task = load_task(job.task, job.data)
    problems = job.chosen_problems(task)
    if (note := past_the_end(task, *job.problems)) is not None:
        observer.notice(note)
    scorer = task.scorers[0]
    with ExitStack() as stack:
        # A database that is there is asked first: to be told that it is in use should not take a download. A new one
        # is made last, so that a command that comes to nothing leaves no file behind.
        store = stack.enter_context(RolloutWriter.open(database)) if os.path.exists(database) else None
        engine_class = engines.engine_class(job.engine)
        identity = engine_class.identify(job.model, job.dtype)
        check_spec(job.worker_spec(identity), identity)
        _check_scope(job, identity)
        wanted = list(job.conditions(task, identity))
        if store is None:
            store = stack.enter_context(RolloutWriter.open(database))
        # A command that failed before it drew leaves conditions that nobody needs to hear of.
        known = [condition for condition in store.conditions() if store.extents(condition.id)]
        announce_new([condition for condition, _, _ in wanted], known, observer)
        conditions = [Planned(store.register_condition(c), c, first, samples) for c, first, samples in wanted]
        prompted = [(problem, task.prompt(problem, job.prompt)) for problem in problems]
        condition = wanted[0][0]
        task_digest = digest_of([task.name, task.data_digest, job.prompt, condition.prompt_digest])
        ids = store.register_problems(task.name, task_digest, prompted)
        plan = Plan(store, conditions, {ids[problem.index]: problem.index for problem in problems}, job.shard)

        def summary(outcome: Outcome, drawn: int) -> Summary:
            return Summary(
                outcome,
                plan.stored + drawn,
                plan.total,
                drawn,
                tuple(c.condition_id for c in conditions),
                len(problems),
            )

        if plan.stored == plan.total:
            return summary("complete", 0)
        others = {session.scorer for c in conditions for session in store.sessions(c.condition_id)} - {scorer}
        if others:
            observer.warning(
                f"the stored rollouts are scored by {', '.join(sorted(others))}, new ones are by {scorer}, and figures "
                f"would mix the two; when this run is done: esprobe rescore --db {shlex.quote(str(database))} "
                f"--scorer {min(others)} --write"
            )
        before = [session.drawn_with for c in conditions for session in store.sessions(c.condition_id)]
        if mixed := several_versions([*before, computing(provenance.versions())]):
            observer.warning(
                f"rollouts of one condition would come from several versions ({', '.join(mixed)}), and one seed may "
                f"mean other completions under each; resume where the stored ones were drawn, or use another --db"
            )
        if plan.stored:
            observer.notice(f"resuming: {plan.stored:,} of {plan.total:,} stored")
        expected = WorkerFingerprint.expected(condition)
        observer.notice(f"loading {job.model} ({identity.dtype}, {job.engine})")
        pool = stack.enter_context(
            start_pool(job.worker_spec(identity), job.pool, task, identity, expected, observer.warning)
        )
        stored_on = [
            worker for c in conditions for session in store.sessions(c.condition_id) for worker in session.workers
        ]
        if mixed := several_devices([*stored_on, pool.ready.hardware]):
            observer.warning(
                f"rollouts of one condition would come from several kinds of devices ({', '.join(mixed)}), and one "
                f"seed may mean other completions on each; resume where the stored ones were drawn, or use another --db"
            )
        for line in pool.ready.checks:
            observer.notice(line)
        first, _ = job.problems
        extents = {
            c.condition_id: Extent(first, problems[-1].index + 1, c.first_seed, c.samples, len(problems))
            for c in conditions
        }
        session_id = store.begin_session(
            job.command, scorer, extents, _engines(pool, job.shard), provenance.versions(), provenance.hardware()
        )
        loop = Loop(
            plan=plan,
            pool=pool,
            task=task,
            scorer=scorer,
            store=store,
            session_id=session_id,
            observer=observer,
            stop=stop,
        )
        stop.defer()
        outcome: Outcome | Literal["failed"] = "failed"
        try:
            loop.run()
            # A signal that came when the last rollout was drawn has stopped nothing.
            if plan.stored + loop.rollouts == plan.total:
                outcome = "done"
            elif stop():
                outcome = "stopped"
            else:
                _refuse_to_call_it_done(pool)
        finally:
            store.end_session(session_id, outcome)
        return summary(outcome, loop.rollouts)


def _engines(pool: WorkerPool, shard: Shard) -> dict[str, Any]:
    workers = {"workers": pool.size} if pool.size > 1 else {}
    return dict(pool.ready.engine) | workers | ({"shard": str(shard)} if shard != WHOLE else {})


def _refuse_to_call_it_done(pool: WorkerPool) -> NoReturn:
    missing = sum(work.rollouts for work in pool.set_aside)
    raise SetAsideError(
        f"{missing:,} rollouts are missing, because drawing them ended worker after worker: "
        f"{'; '.join(work.label for work in pool.set_aside)}. All others are stored. Run the same command again to try "
        f"these again, with --workers 1 to see the engine's own error"
    )


def _check_scope(job: Job, identity: engines.ModelIdentity) -> None:
    """Refuse a scope that matches no tensor before anything is drawn."""
    if job.scope is None or not engines.find_engine(job.engine).traits.has_weights:
        return
    from esprobe.engines.checkpoint import find_checkpoint

    names = find_checkpoint(identity.model).tensors
    if not any(re.search(job.scope, name) for name in names):
        raise UsageError(
            f"--scope {job.scope!r} matches none of the {len(names)} tensors of {job.model}, so nothing would be "
            f"perturbed; names look like {min(names)}"
        )
