"""One training command, from job to summary: find the model and the run, iterate, evaluate, store."""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from esprobe import engines
from esprobe.engines import ModelIdentity
from esprobe.errors import StoppedError, UsageError
from esprobe.es import fitness
from esprobe.paths import kind_of
from esprobe.sampling import mixtures
from esprobe.sampling.guessing import store_chances
from esprobe.sampling.loop import Loop, Unscored
from esprobe.sampling.observer import Observer
from esprobe.sampling.run import check_stop_loops, check_stored, engines_of, identify, raise_set_aside
from esprobe.sampling.stop import StopSignals
from esprobe.spec import Condition, Problem, digest_of
from esprobe.store import RolloutWriter
from esprobe.store.model_names_writer import name_model
from esprobe.store.training import snapshots_of, training_runs
from esprobe.store.training_writer import add_to_session, register_run
from esprobe.tasks import DataSet, Task, load_task, task_location
from esprobe.tasks.contract import check_contract
from esprobe.tasks.scoring import Scoring, scoring_by
from esprobe.tasks.selection import past_the_end, select_problems
from esprobe.tasks.source import source_digest, task_file
from esprobe.training.health import Health
from esprobe.training.iterations import Iterations
from esprobe.training.job import TrainingJob, greedy_condition
from esprobe.training.progress import RunProgress
from esprobe.training.same_state import SameState
from esprobe.training.stored_run import check_recipe, check_scorers, check_updates
from esprobe.workers import provenance
from esprobe.workers.start import start_pool
from esprobe.workers.worker import WorkerFingerprint

Outcome = Literal["complete", "done", "stopped"]


@dataclass(frozen=True)
class TrainingSummary:
    """How a training command ended.

    Attributes:
        outcome: "complete" if everything was stored already, "done" if the rest was drawn, "stopped" by a signal.
        run: the run's number in the file.
        iterations: finished ones.
        wanted: iterations asked for.
        drawn: rollouts that this command added.
    """

    outcome: Outcome
    run: int
    iterations: int
    wanted: int
    drawn: int


def train(job: TrainingJob, database: Path, observer: Observer, stop: StopSignals) -> TrainingSummary:
    """Train until the run has the iterations asked for. If nothing is missing, no model is loaded.

    Raises:
        EsprobeError: the data, model, engine or database cannot be used; what was stored stays stored.
    """
    job = replace(job, sampling=replace(job.sampling, engine=engines.resolve(job.sampling.engine)))
    check_stop_loops(job.sampling)
    task = load_task(job.sampling.task)
    data = task.data_set(job.sampling.data)
    sampled = job.sampling
    check_contract(task, sampled.task, data, sampled.prompt_style(task), sampled.chosen_scorer(task))
    problems = _Problems.of(job, data, observer)
    with ExitStack() as stack:
        # As for sampling: an existing database is opened first, a new one is created last.
        store = stack.enter_context(RolloutWriter.open(database)) if kind_of(database) != "nothing" else None
        identity = identify(job.sampling)
        greedy = greedy_condition(job, task, data, identity)
        if store is None:
            store = stack.enter_context(RolloutWriter.open(database))
        if sampled.name is not None:
            name_model(store, identity.fingerprint, sampled.name)
        training = _Command(job, task, data, problems, identity, greedy, store, observer)
        if training.is_complete:
            return training.summary("complete", 0)
        with training.start_pool() as pool:
            summary = training.draw(pool, stop)
    if summary.outcome == "done":
        check_stored(database, training.conditions, observer)
    return summary


@dataclass(frozen=True)
class _Problems:
    """The problems of a run."""

    training: list[Problem]
    evaluation: list[Problem]

    @classmethod
    def of(cls, job: TrainingJob, data: DataSet, observer: Observer) -> "_Problems":
        training = job.sampling.chosen_problems(data)
        if (note := past_the_end(data, *job.sampling.problems)) is not None:
            observer.notice(note)
        evaluation = []
        if job.eval_every:
            evaluation = list(select_problems(data, *job.eval_problems))
            both = {p.index for p in training} & {p.index for p in evaluation}
            if both:
                observer.warning(
                    f"{len(both):,} of the {len(evaluation):,} evaluation problems are training problems too "
                    f"({min(both)} to {max(both)}), so their accuracy shows what was learned by heart as well; use "
                    f"--eval-problems that do not overlap --problems"
                )
        size = job.problems_per_iteration
        if size is not None and size > len(training):
            raise UsageError(
                f"--problems-per-iteration {size} is more than the {len(training):,} training problems; use "
                f"{len(training)} or less, or more --problems"
            )
        return cls(training, evaluation)


class _Command:
    """One command at work on a run."""

    def __init__(
        self,
        job: TrainingJob,
        task: Task,
        data: DataSet,
        problems: _Problems,
        identity: ModelIdentity,
        greedy: Condition,
        store: RolloutWriter,
        observer: Observer,
    ) -> None:
        self._job = job
        self._task = task
        self._data = data
        self._problems = problems
        self._identity = identity
        self._greedy = greedy
        self._store = store
        self._observer = observer
        self._scorer = job.sampling.chosen_scorer(task)
        recipe = job.recipe(greedy, self._scorer, len(problems.training))
        if (notice := check_recipe(recipe, training_runs(store))) is not None:
            observer.notice(notice)
        run = register_run(store, identity.model, recipe)
        ids = self._register_problems()
        training = {problem.index: ids[problem.index] for problem in problems.training}
        evaluation = {problem.index: ids[problem.index] for problem in problems.evaluation}
        self._iterations = Iterations(job, run, greedy, store, training, evaluation)
        self._earlier = [one.id for one in store.conditions() if one.condition.run == run.digest]
        check_scorers(store, run, self._earlier)
        check_updates(store, run)
        self._health = Health()
        for done in run.iterations[: job.iterations]:
            self._health.add(done.members, 0.0, job.sampling.max_tokens)
        self.conditions: list[int] = []
        """Ids of the conditions that this command has drawn from."""

    @property
    def is_complete(self) -> bool:
        """Whether all iterations and evaluations asked for are stored."""
        return self._iterations.is_complete

    def summary(self, outcome: Outcome, drawn: int) -> TrainingSummary:
        """The command's result after it has drawn ``drawn`` rollouts."""
        made = self._iterations
        finished = min(made.finished, self._job.iterations)
        return TrainingSummary(outcome, made.run.id, finished, self._job.iterations, drawn)

    def start_pool(self) -> SameState:
        """The worker pool, which the caller has to enter."""
        job, identity, run = self._job.sampling, self._identity, self._iterations.run
        if finished := min(self._iterations.finished, self._job.iterations):
            self._observer.notice(
                f"resuming training run {run.id}: {finished:,} of {self._job.iterations:,} iterations stored"
            )
        else:
            self._observer.notice(f"training run {run.id}")
        mixtures.warn_before(
            self._store, self._earlier[-1:], self._scorer, self._task, self._job.sampling.engine, self._observer
        )
        self._observer.notice(f"loading {job.model} ({identity.dtype}, {job.engine})")
        spec = job.worker_spec(identity)
        spec = replace(
            spec,
            options=replace(spec.options, trains=True),
            snapshots=str(snapshots_of(self._store.path).absolute()),
        )
        expected = WorkerFingerprint.expected(self._greedy)
        pool = start_pool(spec, job.pool, self._task, self._data, identity, expected, self._observer.warning)
        return SameState(pool, self._iterations.states)

    def draw(self, pool: SameState, stop: StopSignals) -> TrainingSummary:
        """Iterate, as one session, until the run is done or stopped.

        Raises:
            EsprobeError: an engine or the database failed, or workers disagree; what has finished is stored.
        """
        mixtures.warn_of_devices(self._store, self._earlier[-1:], pool, self._observer)
        for line in pool.ready.checks:
            self._observer.notice(line)
        session_id = self._store.begin_session(
            self._job.sampling.command,
            self._scorer,
            {},
            engines_of(pool, self._job.sampling.engine, self._identity),
            provenance.versions(),
            provenance.hardware(),
            scorer_digest=source_digest(self._task),
            task_file=task_file(self._task),
        )
        with scoring_by(
            self._task,
            task_location(self._job.sampling.task),
            self._scorer,
            self._observer.warning,
            self._store.path,
        ) as scoring:
            return self._iterate(pool, stop, session_id, scoring)

    def _iterate(
        self, pool: SameState, stop: StopSignals, session_id: int, scoring: Scoring[Unscored]
    ) -> TrainingSummary:
        stop.defer()
        progress = RunProgress(self._observer, self._job.iterations, self._iterations.rollouts)
        drawn = 0
        outcome: Literal["done", "stopped"]
        try:
            for number in range(self._job.iterations + 1):
                loop = self._loop(number, pool, session_id, progress, stop, scoring)
                if loop is not None:
                    loop.run()
                    drawn += loop.rollouts
                if not self._conclude(number, pool):
                    if not stop():
                        raise_set_aside(pool)
                    outcome = "stopped"
                    break
            else:
                outcome = "done"
        except StoppedError:  # what is locked would keep the outcome out, too
            raise
        except BaseException:
            self._store.end_session(session_id, "failed")
            raise
        self._store.end_session(session_id, outcome)
        return self.summary(outcome, drawn)

    def _loop(
        self,
        number: int,
        pool: SameState,
        session_id: int,
        progress: RunProgress,
        stop: StopSignals,
        scoring: Scoring[Unscored],
    ) -> Loop | None:
        """The sampling loop over what an iteration lacks; None if it lacks nothing."""
        plan = self._iterations.plan(number)
        drawn_before = number < min(self._iterations.finished, self._job.iterations)
        progress.begin(number, plan.stored + (self._iterations.population if drawn_before else 0))
        if not plan.has_work:
            return None
        add_to_session(self._store, session_id, self._iterations.extents(number, plan))
        self.conditions += [planned.condition_id for planned in plan.conditions]
        return Loop(
            plan=plan,
            pool=pool,
            problems=[*self._problems.training, *self._problems.evaluation],
            scoring=scoring,
            store=self._store,
            session_id=session_id,
            observer=progress,
            stop=stop,
        )

    def _conclude(self, number: int, pool: SameState) -> bool:
        """Report an iteration and store its update; False if some of its rollouts are missing."""
        made = self._iterations
        plan = made.plan(number)
        if not Iterations.is_drawn(plan):
            return False
        evaluated = ""
        if plan.is_evaluated:
            evaluated = f"{made.accuracy(number):.1%} of {len(self._problems.evaluation):,} evaluation problems"
        if number < made.finished or number == self._job.iterations:
            if evaluated and plan.condition_ids & set(self.conditions):
                self._observer.notice(f"after {number:,} iteration{'s' * (number != 1)} the model solves {evaluated}")
            return True
        if (state := pool.states.get(made.trajectory.digest)) is None:
            return False  # stopped before a worker had brought its weights there
        cut_off = made.cut_off(plan)
        done = made.finish(number, state, pool.norms.get(made.trajectory.digest, {}))
        scores = [member.fitness for member in done.members]
        self._observer.notice(
            f"iteration {number + 1:,} of {self._job.iterations:,}: fitness mean {fitness(scores):.4f}, best "
            f"{max(scores):.4f}, sd {statistics.pstdev(scores):.4f}"
            + (f"; the model before it solves {evaluated}" if evaluated else "")
        )
        for warning in self._health.add(done.members, cut_off, self._job.sampling.max_tokens):
            self._observer.warning(warning)
        return True

    def _register_problems(self) -> dict[int, int]:
        """Index to store id of all problems of the run."""
        style = self._job.sampling.prompt
        chosen = {p.index: p for p in (*self._problems.training, *self._problems.evaluation)}
        prompted = [(problem, self._task.prompt(problem, style)) for problem in chosen.values()]
        digest = digest_of([self._task.name, self._data.digest, style, self._greedy.prompt_digest])
        store_chances(self._store, self._task, self._data, list(chosen.values()), self._observer)
        return self._store.register_problems(self._task.name, digest, prompted)
