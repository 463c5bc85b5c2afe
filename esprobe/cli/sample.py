"""``sample``, ``sample-temp`` and ``sample-perturb``: sample the rollouts that a database lacks."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe import defaults
from esprobe.cli import options
from esprobe.cli.config import ConfigFile
from esprobe.cli.option_groups import grouped
from esprobe.cli.sampling_options import NoiseOptions, SamplingOptions, TokenOptions, VllmOptions, WorkerOptions
from esprobe.cli.sampling_run import draw, stored
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.sampling.job import Job
    from esprobe.sampling.run import Summary


@grouped
def sample(
    *,
    temperature: options.Temperatures = None,
    sigma: options.Sigmas = None,
    decoding: TokenOptions,
    noise: NoiseOptions,
    db: options.DbPath = options.DEFAULT_DB,
    sampling: SamplingOptions,
    vllm: VllmOptions,
    workers: WorkerOptions,
    shard: options.ShardName = None,
    baseline: options.Baseline = True,
    give_up_broken: options.GiveUpBroken = False,
    debug: options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Both spaces with one command, or one configuration file. Run the same command again to resume.

    It samples what sample-temp and then sample-perturb sample with the same options; each loads the model.
    """
    from esprobe.sampling.shard import Shard

    study = not temperature and not sigma
    arms = (
        ("temperatures", defaults.TEMPERATURES if study else tuple(temperature or ()), decoding),
        ("sigmas", defaults.SIGMAS if study else tuple(sigma or ()), noise),
    )
    of_both = {"shard": Shard.parse(shard), "baseline": baseline, "give_up_broken": give_up_broken}
    jobs = [sampling.job(vllm, workers, group, **of_both, **{name: values}) for name, values, group in arms if values]
    for job in jobs:
        apart = replace(job, pool=replace(job.pool, apart=len(jobs) > 1))
        _report(draw(apart.debug() if debug else apart, db), apart, db)
    _next(db)


@grouped
def sample_temp(
    *,
    temperature: Annotated[
        list[float], typer.Option("-t", "--temperature", help="A sampling temperature; repeatable.")
    ] = list(defaults.TEMPERATURES),  # noqa: B006 - typer reads the default, nothing changes it
    decoding: TokenOptions,
    db: options.DbPath = options.DEFAULT_DB,
    sampling: SamplingOptions,
    vllm: VllmOptions,
    workers: WorkerOptions,
    shard: options.ShardName = None,
    baseline: options.Baseline = True,
    debug: options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Token space: sample the unmodified model at several temperatures. Run the same command again to resume."""
    from esprobe.sampling.shard import Shard

    if not temperature:
        raise UsageError("-t/--temperature has no value, so there is nothing to sample; use one such as -t 0.8")
    job = sampling.job(
        vllm,
        workers,
        decoding,
        shard=Shard.parse(shard),
        baseline=baseline,
        temperatures=tuple(temperature),
    )
    _sample(job.debug() if debug else job, db)


@grouped
def sample_perturb(
    *,
    sigma: Annotated[
        list[float],
        typer.Option(
            "--sigma", help="Standard deviation of the noise on each weight; repeatable. 0 shows numerical noise alone."
        ),
    ] = list(defaults.SIGMAS),  # noqa: B006 - as above
    noise: NoiseOptions,
    db: options.DbPath = options.DEFAULT_DB,
    sampling: SamplingOptions,
    vllm: VllmOptions,
    workers: WorkerOptions,
    shard: options.ShardName = None,
    baseline: options.Baseline = True,
    give_up_broken: options.GiveUpBroken = False,
    debug: options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Weight space: decode greedily under random weight perturbations. Run the same command again to resume."""
    from esprobe.sampling.shard import Shard

    if not sigma:
        raise UsageError("--sigma has no value, so there is nothing to sample; use one such as --sigma 0.005")
    job = sampling.job(
        vllm,
        workers,
        noise,
        shard=Shard.parse(shard),
        baseline=baseline,
        sigmas=tuple(sigma),
        give_up_broken=give_up_broken,
    )
    _sample(job.debug() if debug else job, db)


def _sample(job: "Job", db: Path) -> None:
    if _report(draw(job, db), job, db):
        _next(db)


def _report(summary: "Summary", job: "Job", db: Path) -> bool:
    """Say what is stored now; returns whether anything was planned."""
    from esprobe.safe_text import plain

    shown = plain(str(db))
    if not summary.total:
        typer.echo(f"nothing to do: the plan has fewer units than shards, so shard {job.shard} has none")
        return False
    if summary.outcome == "complete":
        typer.echo(f"nothing to do: all {summary.total:,} rollouts are in {shown}")
    else:
        typer.echo(f"{stored(summary, db)} ({summary.drawn:,} now)")
    return True


def _next(db: Path) -> None:
    from esprobe.safe_text import plain

    typer.echo(f"next: esprobe passk --db {shlex.quote(plain(str(db)))}")
