"""``plan``: what a run will take, before it runs."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.config import ConfigFile
from esprobe.cli.grouped import grouped
from esprobe.cli.sampling_options import SamplingOptions, VllmOptions, Workers
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.sampling.estimate import Expected, Pace
    from esprobe.sampling.job import Job

_STUDY_TEMPERATURES = (0.4, 0.6, 0.8, 1.0)
_STUDY_SIGMAS = (0.001, 0.003, 0.005, 0.01)
_ASSUMED_SHARE = 3
_UNITS = ((1, "hours"), (60, "minutes"), (3600, "seconds"))


@dataclass(frozen=True)
class PlanOptions(Workers):
    """Hours are told for what is named, and not for what this machine happens to have."""

    workers: Annotated[int | None, typer.Option("--workers", help="Workers (GPUs) that the hours are told for.")] = 1


@grouped
def plan(
    *,
    temperature: Annotated[
        list[float] | None,
        typer.Option("-t", "--temperature", help="A temperature; repeatable. Without any and no sigma: the study's."),
    ] = None,
    sigma: Annotated[
        list[float] | None,
        typer.Option("--sigma", help="A sigma; repeatable. Without any and no temperature: the study's."),
    ] = None,
    top_p: options.TopP = 1.0,
    top_k: options.TopK = -1,
    noise: options.NoiseScheme = "iid",
    scope: options.Scope = None,
    db: options.DbPath = Path("esprobe.db"),
    wanted: SamplingOptions,
    vllm: VllmOptions,
    workers: PlanOptions,
    shard: options.ShardName = None,
    baseline: options.Baseline = True,
    debug: options.Debug = False,
    tokens: Annotated[
        float | None,
        typer.Option("--tokens", help="Assumed tokens of a completion. Default: a third of --max-tokens."),
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Tokens/s that one worker generates.")] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Draw a little of each condition here, store nothing, and measure.")
    ] = False,
    probe_problems: Annotated[int, typer.Option("--probe-problems", help="Problems that --probe draws.")] = 16,
    config: ConfigFile = None,
) -> None:
    """What a run will take: rollouts, tokens, size of the database and, where a rate is known, hours."""
    from esprobe.sampling import estimate
    from esprobe.sampling.shard import Shard

    for option, value in (
        ("--tokens", tokens),
        ("--rate", rate),
        ("--probe-problems", probe_problems),
    ):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{option} {value:g} is nothing to reckon with; use a number above 0")
    if tokens is not None and tokens > wanted.max_tokens:
        raise UsageError(f"--tokens {tokens:g} is more than a completion of --max-tokens {wanted.max_tokens} can have")
    if probe and tokens is not None:
        raise UsageError(f"--probe measures tokens, and --tokens {tokens:g} assumes them; leave out one of them")
    study = not temperature and not sigma
    job = wanted.job(
        vllm,
        pool=workers.pool_options(),
        shard=Shard.parse(shard),
        baseline=baseline,
        temperatures=_STUDY_TEMPERATURES if study else tuple(temperature or ()),
        top_p=top_p,
        top_k=top_k,
        sigmas=_STUDY_SIGMAS if study else tuple(sigma or ()),
        noise=noise,
        scope=scope,
    )
    job = job.debug() if debug else job
    assumed = tokens or max(1, round(wanted.max_tokens / _ASSUMED_SHARE))  # whole, as it is printed
    expected = estimate.estimate(job, db, {}, assumed, rate)
    owed = {one.label for one in expected if one.owed}
    paces = _probe(job, owed, probe_problems) if probe and owed else {}
    if paces:
        expected = estimate.estimate(job, db, paces, assumed, rate)
    typer.echo(_table(expected), nl=False)
    measured = [pace.problems for pace in paces.values()]
    source = (
        f"measured on {max(measured)} problems" if measured else f"assumed: {_number(assumed)} a completion (--tokens)"
    )
    typer.echo(f"\ntokens are {source}")
    count = workers.workers or 1
    gpus = math.ceil(count * vllm.tensor_parallel_size / workers.workers_per_gpu)
    typer.echo(_hours(expected, count, gpus, rate))


def _probe(job: "Job", labels: Collection[str], problems: int) -> "Mapping[str, Pace]":
    from esprobe.cli.progress import ConsoleObserver
    from esprobe.sampling.estimate import probe
    from esprobe.sampling.stop import StopSignals

    with StopSignals() as stop, ConsoleObserver() as observer:
        return probe(job, labels, problems, observer, stop)


def _table(expected: "Sequence[Expected]") -> str:
    rows = [["condition", "rollouts", "stored", "owed", "tokens", "database"]]
    for one in expected:
        counts = [f"{number:,}" for number in (one.planned, one.stored, one.owed)]
        rows.append([one.label, *counts, f"{one.tokens:,.0f}", _bytes(one.size)])
    sums = [f"{sum(values):,}" for values in zip(*((e.planned, e.stored, e.owed) for e in expected), strict=True)]
    rows.append(["all", *sums, f"{sum(e.tokens for e in expected):,.0f}", _bytes(sum(e.size for e in expected))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _hours(expected: "Sequence[Expected]", workers: int, gpus: int, rate: float | None) -> str:
    if not any(one.owed for one in expected):
        return "nothing is owed"
    seconds = [one.seconds for one in expected if one.seconds is not None]
    if len(seconds) < len(expected):
        return "hours are not known: give --rate TOKENS_PER_SECOND of one worker, or measure with --probe"
    how = f"at {rate:,.0f} tokens/s each" if rate else "at the rates measured here"
    hours = sum(seconds) / 3600 / workers
    times = (f"{hours * n:,.1f} {unit}" for n, unit in _UNITS if hours * n >= 1)
    time = next(times, "under a second")
    on = f"{workers} worker{'s' * (workers > 1)}" + (f" ({gpus} GPU{'s' * (gpus > 1)})" if gpus != workers else "")
    return f"{time} on {on}, {how}"


def _number(value: float) -> str:
    """Whole unless somebody gave a fraction."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
