"""Estimates what a training run will take: rollouts, tokens, bytes, hours."""

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

from esprobe import engines
from esprobe.models import find_lineage
from esprobe.paths import kind_of
from esprobe.sampling.estimate import TEXT_SPREAD, TOKEN_BYTES, Expected, Source
from esprobe.sampling.measured import Measured, measured
from esprobe.spec import Kind, digest_of
from esprobe.store import RolloutStore
from esprobe.store.layout import bytes_per_rollout, page_bytes
from esprobe.store.training import training_runs, trajectory_of
from esprobe.tasks import load_task
from esprobe.tasks.selection import select_problems
from esprobe.training.job import TrainingJob, greedy_condition
from esprobe.trajectory import fingerprint_of


def estimate(
    job: TrainingJob, database: Path, tokens: float, rate: float | None, *, is_given: bool = True
) -> list[Expected]:
    """Estimate a run's populations and evaluations.

    Args:
        job: the run.
        database: where it would be stored; need not exist.
        tokens: assumed tokens per completion.
        rate: tokens/s of one worker; None if not known.
        is_given: whether ``tokens`` were asked for; else what the database has of the base comes first.

    Raises:
        EsprobeError: the data, or an existing database's model, cannot be used.
    """
    data = load_task(job.sampling.task).data_set(job.sampling.data)
    problems = len(job.sampling.chosen_problems(data))
    evaluated = len(list(select_problems(data, *job.eval_problems))) if job.eval_every else 0
    drawn, judged, known = (0, 0, {}) if kind_of(database) == "nothing" else _stored(job, database, problems)
    evaluations = sum(map(job.evaluates, range(job.iterations + 1)))

    def expected(label: str, kind: Kind, planned: int, stored: int) -> Expected:
        missing = max(planned - stored, 0)
        mean, source, speed, switch_s = tokens, Source.ASSUMED, rate, 0.0
        lengths = [round(length) for length in NormalDist(mean, TEXT_SPREAD * mean).quantiles(100)]
        text = [round(TOKEN_BYTES * length) for length in lengths]
        if (held := known.get(kind)) is not None:
            speed, switch_s = rate or held.tokens_per_s, held.switch_s
            if not is_given:
                mean, text, source = held.tokens, list(held.text_bytes), Source.LIKE
        seconds = missing * (mean / speed + switch_s) if speed else (0.0 if not missing else None)
        size = bytes_per_rollout(text, page_bytes(database))
        return Expected(label, kind, planned, planned - missing, missing * mean, missing * size, seconds, source)

    population = job.iterations * job.population * (job.problems_per_iteration or problems)
    return [
        expected(f"{job.iterations:,} iterations", Kind.TRAINING, population, drawn),
        expected(f"{evaluations:,} evaluations", Kind.GREEDY, evaluations * evaluated, judged),
    ]


def _stored(job: TrainingJob, database: Path, problems: int) -> tuple[int, int, dict[Kind, Measured]]:
    """Rollouts of the run that the database holds: of its populations, and of its evaluations; what the base's took."""
    job = replace(job, sampling=replace(job.sampling, engine=engines.resolve(job.sampling.engine)))
    task = load_task(job.sampling.task)
    data = task.data_set(job.sampling.data)
    model = job.sampling.model
    identity = engines.identify(job.sampling.engine, model, job.sampling.dtype, find_lineage(model))
    greedy = greedy_condition(job, task, data, identity)
    digest = digest_of(job.recipe(greedy, job.sampling.chosen_scorer(task), problems))
    with RolloutStore.open(database) as store:
        conditions = store.conditions()
        run = next((run for run in training_runs(store) if run.digest == digest), None)
        models = {greedy.model_fingerprint} if job.evaluates(0) else set()
        if run is not None:
            after = trajectory_of(run, database).digests
            models |= {fingerprint_of(d) for number, d in enumerate(after) if number and job.evaluates(number)}
        drawn = sum(store.totals(one.id).rollouts for one in conditions if one.condition.run == digest)
        judged = sum(
            store.totals(one.id).rollouts
            for one in conditions
            if one.condition.kind is Kind.GREEDY and one.condition.model_fingerprint in models
        )
        noisy = replace(greedy, sigma=job.sampling.sigmas[0], noise=job.sampling.noise, scope=job.sampling.scope)
        found = {Kind.TRAINING: measured(store, conditions, noisy), Kind.GREEDY: measured(store, conditions, greedy)}
    return drawn, judged, {kind: one for kind, one in found.items() if one is not None}
