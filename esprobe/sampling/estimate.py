"""Estimates what a job will take: rollouts, tokens, bytes, hours."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from statistics import NormalDist

from esprobe import engines
from esprobe.engines import StopCheck
from esprobe.models import find_lineage
from esprobe.paths import kind_of
from esprobe.sampling.giving_up import baseline_of, can_break, judged
from esprobe.sampling.job import Job
from esprobe.sampling.measured import Measured, measured
from esprobe.sampling.observer import Observer
from esprobe.sampling.plan import TEMPERATURE_BLOCK, Planned, units_of
from esprobe.sampling.shard import WHOLE, Shard
from esprobe.spec import Condition, Kind, Problem
from esprobe.store import RolloutStore
from esprobe.store.layout import bytes_per_rollout, new_database_bytes, page_bytes
from esprobe.tasks import DataSet, Task, load_task
from esprobe.workers.start import start_pool
from esprobe.workers.work import Key, Work
from esprobe.workers.worker import WorkerFingerprint

TOKEN_BYTES = 4.0
"""Assumed bytes of text per token where nothing was measured; typical of English and digits."""

TEXT_SPREAD = 0.35
"""Assumed standard deviation of the lengths of texts, as a share of their mean, where nothing was measured: pages are
filled differently by texts of one length and of many, and this lies between."""


@dataclass(frozen=True)
class Pace:
    """Measurements of one condition on one worker.

    Attributes:
        problems: number of problems sampled.
        tokens: mean tokens per completion.
        text_bytes: bytes of text of each completion.
        tokens_per_s: with the probe's small batches; a real run's larger batches are at least as fast.
        switch_s: seconds to apply a perturbation and remove it; 0 without one.
    """

    problems: int
    tokens: float
    text_bytes: tuple[int, ...]
    tokens_per_s: float
    switch_s: float


class Source(Enum):
    """Where the tokens per completion of an estimate come from."""

    ASSUMED = "assumed"
    PROBED = "probed"
    STORED = "stored"
    """Rollouts of the condition itself."""
    LIKE = "like"
    """Stored rollouts of other conditions of the same model."""


@dataclass(frozen=True)
class Expected:
    """The estimate for one condition.

    Attributes:
        label: the condition's label.
        kind: the condition's kind.
        planned: planned rollouts.
        stored: planned rollouts that the database already holds.
        tokens: tokens of the missing rollouts.
        size: bytes that the missing rollouts add to the database.
        seconds: time of one worker; None if no rate is known.
        source: where the tokens per completion come from.
    """

    label: str
    kind: Kind
    planned: int
    stored: int
    tokens: float
    size: float
    seconds: float | None
    source: Source = Source.ASSUMED

    @property
    def owed(self) -> int:
        """Missing rollouts."""
        return self.planned - self.stored


def estimate(
    job: Job, database: Path, paces: Mapping[str, Pace], tokens: float, rate: float | None, *, is_given: bool = True
) -> tuple[list[Expected], int]:
    """Estimate each condition of ``job``, and the bytes of a new database without rollouts (0 if it exists).

    Args:
        job: the job.
        database: the database that it would be stored in; need not exist.
        paces: measurements of a probe by label; they override ``tokens``, and the speed if ``rate`` is None.
        tokens: assumed tokens per completion.
        rate: tokens/s of one worker; None if not known.
        is_given: whether ``tokens`` were asked for; else what the database has of this model comes first.

    Raises:
        EsprobeError: the data, or an existing database's model, cannot be used.
    """
    task = load_task(job.task)
    data = task.data_set(job.data)
    chosen = job.chosen_problems(data)
    problems = len(chosen)
    is_new = kind_of(database) == "nothing"
    stored, known, dropped = ({}, {}, {}) if is_new else _stored(job, database, task, data)
    page = page_bytes(database)
    found = []
    for condition, seeds in _drawn(job.drawn_like(_nameless(job)), job.shard):
        label, kind = condition.label, condition.kind
        pace = paces.get(label)
        planned = problems * len(seeds) - dropped.get(label, 0)
        owed = planned - stored.get(label, 0)
        mean, text, source = tokens, tuple(_lengths(tokens * TOKEN_BYTES)), Source.ASSUMED
        speed, switch_s = None, 0.0
        if (held := known.get(label)) is not None:
            speed, switch_s = held.tokens_per_s, held.switch_s
            if not is_given:
                mean, text = held.tokens, held.text_bytes
                source = Source.LIKE if held.is_like else Source.STORED
        if pace is not None:
            mean, text, source = pace.tokens, pace.text_bytes, Source.PROBED
            speed, switch_s = pace.tokens_per_s, pace.switch_s / problems if kind.shares_noise else 0.0
        speed = rate or speed
        found.append(
            Expected(
                label=label,
                kind=kind,
                planned=planned,
                stored=planned - owed,
                tokens=owed * mean,
                size=owed * bytes_per_rollout(text, page) if owed else 0.0,
                seconds=owed * (mean / speed + switch_s) if speed else None if owed else 0.0,
                source=source,
            )
        )
    return found, _base_size(job, task, chosen) if is_new else 0


def probe(job: Job, labels: Collection[str], problems: int, observer: Observer, stop: StopCheck) -> dict[str, Pace]:
    """Sample the first few problems with one of the job's workers and measure; stores nothing.

    Args:
        job: the job.
        labels: labels of the conditions to sample.
        problems: number of problems.
        observer: receives notices and warnings.
        stop: whether to end early.

    Raises:
        EsprobeError: the data, model or engine cannot be used.
    """
    job = replace(job, engine=engines.resolve(job.engine))
    task = load_task(job.task)
    data = task.data_set(job.data)
    chosen = job.chosen_problems(data)[:problems]
    identity = engines.identify(job.engine, job.model, job.dtype, find_lineage(job.model))
    conditions = list(job.conditions(task, data, identity))
    expected = WorkerFingerprint.expected(conditions[0][0])
    paces = {}
    one = replace(job.pool, workers=1)
    observer.notice(f"loading {job.model} ({identity.dtype}, {job.engine})")
    with start_pool(job.worker_spec(identity), one, task, data, identity, expected, observer.warning) as pool:
        for condition, first, samples in conditions:
            if condition.label not in labels:
                continue
            observer.notice(f"drawing {condition.label} for {len(chosen):,} problems")
            drawn = min(samples, TEMPERATURE_BLOCK) if condition.kind.has_token_noise else 1
            keys = [Key(p.index, p.index, first + draw) for p in chosen for draw in range(drawn)]
            size = pool.ready.batch_size or len(keys)
            batches = tuple(tuple(keys[start : start + size]) for start in range(0, len(keys), size))
            work = Work(0, condition, batches)
            deliveries = [delivery for _, delivery in pool.draw(iter([work]), stop)]
            completions = [completion for delivery in deliveries for completion in delivery.completions]
            if stop():
                break
            tokens = sum(completion.token_count for completion in completions)
            paces[condition.label] = Pace(
                problems=len(chosen),
                tokens=tokens / len(keys),
                text_bytes=tuple(len(completion.text.encode()) for completion in completions),
                tokens_per_s=tokens / sum(delivery.generate_s for delivery in deliveries),
                switch_s=sum(delivery.switch_s for delivery in deliveries),
            )
    return paces


def _lengths(mean: float) -> list[int]:
    """Lengths of texts in bytes with this mean, where nothing was measured."""
    return [round(length) for length in NormalDist(mean, TEXT_SPREAD * mean).quantiles(100)]


def _base_size(job: Job, task: Task, problems: Sequence[Problem]) -> int:
    """Bytes of a new database with these problems and no rollouts."""
    style = job.prompt_style(task)
    prompts = (task.prompt(problem, style) for problem in problems)
    texts = sum(len(f"{prompt.messages}{prompt.assistant_prefix}".encode()) for prompt in prompts)
    return new_database_bytes(texts + sum(len(f"{problem.inputs}".encode()) for problem in problems), len(problems))


def _nameless(job: Job) -> Condition:
    """A greedy condition without the digests that only the data and the model can give."""
    return Condition(
        task=job.task,
        data_digest="",
        prompt=job.prompt,
        prompt_digest="",
        model=job.model,
        model_fingerprint="",
        dtype=job.dtype,
        engine=job.engine,
        max_tokens=job.max_tokens,
    )


def _drawn(
    conditions: Iterable[tuple[Condition, int, int]], shard: Shard
) -> Iterator[tuple[Condition, Collection[int]]]:
    """(condition, its seeds in the shard) for each (condition, first seed, samples)."""
    planned = [Planned(number, *asked) for number, asked in enumerate(conditions)]
    if shard == WHOLE:
        yield from ((one.condition, range(one.first_seed, one.first_seed + one.samples)) for one in planned)
        return
    seeds: dict[int, set[int]] = {one.condition_id: set() for one in planned}
    for kind in Kind:  # each arm is its own command with its own plan
        for unit in units_of([one for one in planned if one.condition.kind is kind], shard):
            seeds[unit.planned.condition_id].update(unit.seeds)
    yield from ((one.condition, seeds[one.condition_id]) for one in planned)


def _stored(
    job: Job, database: Path, task: Task, data: DataSet
) -> tuple[dict[str, int], dict[str, Measured], dict[str, int]]:
    """By label: the planned rollouts that the database holds, what it says of lengths and speed, and what is given up.

    The last are planned rollouts that ``--give-up-broken`` would not draw.
    """
    job = replace(job, engine=engines.resolve(job.engine))
    indices = {problem.index for problem in job.chosen_problems(data)}
    identity = engines.identify(job.engine, job.model, job.dtype, find_lineage(job.model))
    held, known, dropped = {}, {}, {}
    with RolloutStore.open(database) as store:
        conditions = store.conditions()
        ids = {stored.condition.digest: stored.id for stored in conditions}
        for condition, seeds in _drawn(job.conditions(task, data, identity), job.shard):
            if (found := measured(store, conditions, condition)) is not None:
                known[condition.label] = found
            if condition.digest in ids:
                matrix = store.correctness(ids[condition.digest])
                rows = [index in indices for index in matrix.problems.tolist()]
                columns = [seed in seeds for seed in matrix.seeds.tolist()]
                held[condition.label] = int(matrix.stored[rows][:, columns].sum())
                baseline = (
                    ids.get(baseline_of(condition).digest) if job.give_up_broken and can_break(condition) else None
                )
                id_ = ids[condition.digest]
                if baseline is not None and judged(store, id_, baseline, sorted(indices), sorted(seeds)) is not None:
                    # A seed that is partly stored is not drawn on, either.
                    dropped[condition.label] = len(indices) * len(seeds) - held[condition.label]
    return held, known, dropped
