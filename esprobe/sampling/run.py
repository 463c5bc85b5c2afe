"""One sampling command from job to summary: find the model, plan, sample, store."""

import gc
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from esprobe import engines
from esprobe.engines import ModelIdentity
from esprobe.errors import SetAsideError, StoppedError, StoreBusyError, StoreError, UsageError
from esprobe.models import find_lineage
from esprobe.paths import kind_of
from esprobe.records import Extent
from esprobe.sampling import mixtures
from esprobe.sampling.announce import announce_new
from esprobe.sampling.giving_up import GivingUp
from esprobe.sampling.guessing import store_chances
from esprobe.sampling.job import Job
from esprobe.sampling.loop import Loop, Unscored
from esprobe.sampling.observer import Observer
from esprobe.sampling.plan import Plan, Planned
from esprobe.sampling.shard import WHOLE
from esprobe.sampling.stop import StopSignals
from esprobe.spec import Condition, Problem, digest_of
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.store.given_up_writer import owe_again
from esprobe.store.model_names_writer import name_model
from esprobe.store.soundness import check_content
from esprobe.tasks import DataSet, Task, load_task, task_location
from esprobe.tasks.contract import check_contract
from esprobe.tasks.examples import examples_warning
from esprobe.tasks.scoring import Scoring, scoring_by
from esprobe.tasks.selection import past_the_end
from esprobe.tasks.source import source_digest, task_file
from esprobe.workers import provenance
from esprobe.workers.pool import WorkerPool
from esprobe.workers.start import check_spec, start_pool
from esprobe.workers.worker import WorkerFingerprint

_MANY = 1_000_000
"""Rollouts from which reading them back takes seconds."""

Outcome = Literal["complete", "done", "stopped"]


@dataclass(frozen=True)
class Summary:
    """How a sampling command ended.

    Attributes:
        outcome: "complete" if everything was stored already, "done" if the rest was sampled, "stopped" by a signal.
        stored: planned rollouts in the database, by this command and before it.
        total: planned rollouts.
        drawn: rollouts that this command added.
        conditions: the store's ids, in the order of the job.
        problems: number of problems in the job's slice.
    """

    outcome: Outcome
    stored: int
    total: int
    drawn: int
    conditions: tuple[int, ...]
    problems: int


def run(job: Job, database: Path, observer: Observer, stop: StopSignals) -> Summary:
    """Sample the rollouts of ``job`` that ``database`` lacks. If none is missing, no model is loaded.

    Raises:
        EsprobeError: the data, model, engine or database cannot be used; what was stored stays stored.
    """
    job = replace(job, engine=engines.resolve(job.engine))
    check_stop_loops(job)
    task = load_task(job.task)
    data = task.data_set(job.data)
    check_contract(task, job.task, data, job.prompt_style(task), job.chosen_scorer(task))
    problems = job.chosen_problems(data)
    if (note := past_the_end(data, *job.problems)) is not None:
        observer.notice(note)
    if (told := examples_warning(task, problems)) is not None:
        observer.warning(told)
    with ExitStack() as stack:
        gc.freeze()  # there may be half a million problems, which each garbage collection would look through
        stack.callback(gc.unfreeze)
        # An existing database is opened first: that it is in use should be known before a model is downloaded. A new
        # one is created last, so that a command that fails leaves no file behind.
        store = stack.enter_context(RolloutWriter.open(database)) if kind_of(database) != "nothing" else None
        identity = identify(job)
        wanted = list(job.conditions(task, data, identity))
        if store is None:
            store = stack.enter_context(RolloutWriter.open(database))
        if job.name is not None:
            name_model(store, identity.fingerprint, job.name)
        _announce(store, [condition for condition, _, _ in wanted], observer)
        sampling = _Sampling(job, task, data, problems, identity, wanted, store, observer)
        if sampling.is_complete:
            return sampling.summary("complete", 0)
        sampling.warn_of_mixtures()
        with sampling.start_pool() as pool:
            summary = sampling.draw(pool, stop)
    if summary.outcome == "done":
        check_stored(database, summary.conditions, observer)
    return sampling.recounted(summary)


class _Sampling:
    """A job with an identified model and an open database: registers conditions and problems, plans, and samples."""

    def __init__(
        self,
        job: Job,
        task: Task,
        data: DataSet,
        problems: Sequence[Problem],
        identity: ModelIdentity,
        wanted: Sequence[tuple[Condition, int, int]],
        store: RolloutWriter,
        observer: Observer,
    ) -> None:
        """Register conditions and problems, and plan.

        Args:
            job: what is sampled, its engine resolved.
            task: the job's task.
            data: its data set.
            problems: those of the job's slice.
            identity: the job's model.
            wanted: (condition, first seed, samples) of each condition.
            store: the database.
            observer: receives notices, warnings and progress.

        Raises:
            StoreError: a condition's rollouts do not match the sums recorded with them: the file is damaged.
        """
        self._job = job
        self._task = task
        self._data = data
        self._problems = problems
        self._identity = identity
        self._store = store
        self._observer = observer
        self._scorer = job.chosen_scorer(task)
        self._conditions = [Planned(store.register_condition(c), c, first, samples) for c, first, samples in wanted]
        for planned in self._conditions:
            store.correctness(planned.condition_id)  # raises if what is stored is damaged: nothing may be added to it
        self._ids = tuple(planned.condition_id for planned in self._conditions)
        self._plan = self._make_plan()
        self._giving_up = self._make_giving_up() if job.give_up_broken else None

    @property
    def is_complete(self) -> bool:
        """Whether every planned rollout was stored when the plan was made."""
        return self._plan.stored == self._plan.total

    def summary(self, outcome: Outcome, drawn: int) -> Summary:
        """The command's result after it has drawn ``drawn`` rollouts."""
        return Summary(
            outcome=outcome,
            stored=self._plan.stored + drawn,
            total=self._plan.total,
            drawn=drawn,
            conditions=self._ids,
            problems=len(self._problems),
        )

    def recounted(self, summary: Summary) -> Summary:
        """The result with what the closed file holds, which another program may have changed in the meantime.

        Raises:
            StoreError: rollouts are missing although all were committed.
        """
        database = self._store.path
        with RolloutStore.open(database) as store:
            stored = self._plan.count(store)
        missing = summary.total - stored
        if summary.outcome != "done" or not missing:
            return replace(summary, stored=stored)
        with RolloutWriter.open(database) as writer:
            writer.end_session(self._session_id, "failed")
        raise StoreError(
            f"{missing:,} of the {summary.total:,} rollouts are not in {database}, although all were stored: another "
            f"program has deleted them. Run the same command again to draw them"
        )

    def warn_of_mixtures(self) -> None:
        """Warn where new rollouts would differ from the stored ones in their scorer or in package versions."""
        mixtures.warn_before(self._store, self._ids, self._scorer, self._task, self._job.engine, self._observer)

    def start_pool(self) -> WorkerPool:
        """The worker pool, which the caller has to enter."""
        job, identity = self._job, self._identity
        if self._plan.stored:
            self._observer.notice(f"resuming: {self._plan.stored:,} of {self._plan.total:,} stored")
        expected = WorkerFingerprint.expected(self._conditions[0].condition)
        self._observer.notice(f"loading {job.model} ({identity.dtype}, {job.engine})")
        return start_pool(
            job.worker_spec(identity), job.pool, self._task, self._data, identity, expected, self._observer.warning
        )

    def draw(self, pool: WorkerPool, stop: StopSignals) -> Summary:
        """Draw what is missing, as one session, until it is done or stopped.

        Raises:
            EsprobeError: an engine or the database failed, or work was set aside; what has finished is stored.
        """
        mixtures.warn_of_devices(self._store, self._ids, pool, self._observer)
        for line in pool.ready.checks:
            self._observer.notice(line)
        self._session_id = session_id = self._begin_session(pool)
        self._owe_planned()
        location = task_location(self._job.task)
        with scoring_by(self._task, location, self._scorer, self._observer.warning, self._store.path) as scoring:
            return self._draw(pool, stop, session_id, scoring)

    def _draw(self, pool: WorkerPool, stop: StopSignals, session_id: int, scoring: Scoring[Unscored]) -> Summary:
        loop = Loop(
            plan=self._plan,
            pool=pool,
            problems=self._problems,
            scoring=scoring,
            store=self._store,
            session_id=session_id,
            observer=self._observer,
            stop=stop,
            giving_up=self._giving_up,
        )
        stop.defer()
        outcome: Outcome
        try:
            loop.run()
            # A signal that arrives with the last rollout has stopped nothing.
            if self._plan.stored + loop.rollouts == self._plan.total:
                outcome = "done"
            elif stop():
                outcome = "stopped"
            else:
                raise_set_aside(pool)
        except StoppedError:  # what is locked would keep the outcome out, too
            raise
        except BaseException:
            self._store.end_session(session_id, "failed")
            raise
        try:
            self._store.end_session(session_id, outcome)
        except StoreBusyError as err:
            if outcome != "stopped":
                raise
            raise stop.while_locked(self._store.path, "the end of the run") from err
        return self.summary(outcome, loop.rollouts)

    def _make_plan(self) -> Plan:
        job, task = self._job, self._task
        prompted = [(problem, task.prompt(problem, job.prompt)) for problem in self._problems]
        prompt_digest = self._conditions[0].condition.prompt_digest
        task_digest = digest_of([task.name, self._data.digest, job.prompt, prompt_digest])
        ids = self._store.register_problems(task.name, task_digest, prompted)
        store_chances(self._store, task, self._data, self._problems, self._observer)
        indices = {ids[problem.index]: problem.index for problem in self._problems}
        return Plan(self._store, self._conditions, indices, job.shard)

    def _make_giving_up(self) -> GivingUp:
        """Gives up what stored rollouts suffice for."""
        where = "this command" if self._job.shard == WHOLE else f"shard {self._job.shard}"
        indices = [problem.index for problem in self._problems]
        giving_up = GivingUp(self._store, self._plan, indices, where, self._observer)
        giving_up.judge()
        return giving_up

    def _owe_planned(self) -> None:
        """Seeds that an earlier command gave up and this one draws are not given up any more."""
        bounds = self._problems[0].index, self._problems[-1].index + 1
        for id_ in self._ids:
            if seeds := [seed for unit in self._plan.units_of(id_) for seed in unit.seeds]:
                owe_again(self._store, id_, *bounds, seeds)

    def _begin_session(self, pool: WorkerPool) -> int:
        job, store = self._job, self._store
        first, _ = job.problems
        stop, count = self._problems[-1].index + 1, len(self._problems)
        extents = {
            planned.condition_id: Extent(first, stop, planned.first_seed, planned.samples, count)
            for planned in self._conditions
        }
        return store.begin_session(
            job.command,
            self._scorer,
            extents,
            engines_of(pool, job.engine, self._identity),
            provenance.versions(),
            provenance.hardware(),
            shard=None if job.shard == WHOLE else str(job.shard),
            scorer_digest=source_digest(self._task),
            task_file=task_file(self._task),
        )


def check_stop_loops(job: Job) -> None:
    """Refuse ``--stop-loops`` with an engine that cannot do it.

    Raises:
        UsageError: the engine cannot.
    """
    if job.stop_loops and not engines.find_engine(job.engine).traits.detects_loops:
        raise UsageError(
            f"--stop-loops needs the vllm engine, and the {job.engine} engine does not have it; leave it out or use "
            f"--engine vllm"
        )


def identify(job: Job) -> ModelIdentity:
    """The job's model, after checking that it can be perturbed as the job requires.

    Raises:
        EsprobeError: it cannot be found or used.
    """
    identity = engines.identify(job.engine, job.model, job.dtype, find_lineage(job.model))
    check_spec(job.worker_spec(identity), identity)
    _check_scope(job, identity)
    return identity


def _announce(store: RolloutWriter, wanted: Sequence[Condition], observer: Observer) -> None:
    # A command that failed before it drew leaves conditions without a plan, which are not worth reporting.
    planned = [condition for condition in store.conditions() if store.extents(condition.id)]
    announce_new(wanted, planned, observer)


def engines_of(pool: WorkerPool, engine: str, identity: ModelIdentity) -> dict[str, Any]:
    """What a session records of its engines: how many there are if there are several, and where the model came from."""
    workers = {"workers": pool.size} if pool.size > 1 else {}
    return {**pool.ready.engine, **workers, **_origin(engine, identity)}


def _origin(engine: str, identity: ModelIdentity) -> Mapping[str, str]:
    """What the model was made from, so that a report knows which of two models is the base; empty if not known."""
    if identity.lineage is not None:
        return {"made_from": identity.lineage.base_fingerprint, "made_from_model": identity.lineage.base}
    if not engines.find_engine(engine).traits.has_weights:
        return {}
    from esprobe.engines.checkpoint import find_checkpoint
    from esprobe.engines.origin import origin

    return origin(find_checkpoint(identity.checkpoint))


def raise_set_aside(pool: WorkerPool) -> NoReturn:
    """Report rollouts that no worker could draw.

    Raises:
        SetAsideError: always.
    """
    missing = sum(work.rollouts for work in pool.set_aside)
    raise SetAsideError(
        f"{missing:,} rollouts are missing, because every worker that tried them failed: "
        f"{'; '.join(work.label for work in pool.set_aside)}. All others are stored. Run the same command again to try "
        f"these again, with --workers 1 to see the engine's own error"
    )


def check_stored(database: Path, conditions: Sequence[int], observer: Observer) -> None:
    """Read back from the closed file what it holds of these conditions, and every text, before anything is said of it.

    Raises:
        StoreError: it is not there, or is damaged.
    """
    with RolloutStore.open(database) as store:
        rollouts = sum(store.totals(stored.id).rollouts for stored in store.conditions())
        if rollouts > _MANY:
            observer.notice(f"reading back {rollouts:,} rollouts")
        check_content(store, conditions)


def _check_scope(job: Job, identity: ModelIdentity) -> None:
    """Refuse a scope that matches no tensor before anything is drawn."""
    if job.scope is None or not engines.find_engine(job.engine).traits.has_weights:
        return
    from esprobe.engines.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(identity.checkpoint)
    # A copy of another tensor has no noise of its own.
    names = checkpoint.tensors.keys() - checkpoint.tied_copies(identity.dtype).keys()
    if not any(re.search(job.scope, name) for name in names):
        raise UsageError(
            f"--scope {job.scope!r} matches none of the {len(names)} tensors of {job.model}, so nothing would be "
            f"perturbed; names look like {min(names)}"
        )
