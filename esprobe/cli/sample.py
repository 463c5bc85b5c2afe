"""``sample-temp`` and ``sample-perturb``: draw what is owed, and stop so that the next run can go on."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.config import ConfigFile
from esprobe.cli.drawing import draw, stored
from esprobe.cli.grouped import grouped
from esprobe.cli.sampling_options import SamplingOptions, VllmOptions, Workers
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.sampling.job import Job


@grouped
def sample_temp(
    *,
    temperature: Annotated[
        list[float], typer.Option("-t", "--temperature", help="A sampling temperature; repeatable.")
    ] = [0.4, 0.6, 0.8, 1.0],  # noqa: B006 - typer reads the default, nothing changes it
    top_p: options.TopP = 1.0,
    top_k: options.TopK = -1,
    db: options.DbPath = Path("esprobe.db"),
    wanted: SamplingOptions,
    vllm: VllmOptions,
    workers: Workers,
    shard: options.ShardName = None,
    baseline: options.Baseline = True,
    debug: options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Token space: sample the unmodified model at several temperatures. The same command again resumes."""
    from esprobe.sampling.shard import Shard

    if not temperature:
        raise UsageError("no temperature is named, so there is nothing to sample; use -t 0.8")
    job = wanted.job(
        vllm,
        pool=workers.pool_options(),
        shard=Shard.parse(shard),
        baseline=baseline,
        temperatures=tuple(temperature),
        top_p=top_p,
        top_k=top_k,
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
    ] = [0.001, 0.003, 0.005, 0.01],  # noqa: B006 - as above
    noise: options.NoiseScheme = "iid",
    scope: options.Scope = None,
    db: options.DbPath = Path("esprobe.db"),
    wanted: SamplingOptions,
    vllm: VllmOptions,
    workers: Workers,
    shard: options.ShardName = None,
    baseline: options.Baseline = True,
    debug: options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Weight space: decode greedily under random weight perturbations. The same command again resumes."""
    from esprobe.sampling.shard import Shard

    if not sigma:
        raise UsageError("no sigma is named, so there is nothing to sample; use --sigma 0.005")
    job = wanted.job(
        vllm,
        pool=workers.pool_options(),
        shard=Shard.parse(shard),
        baseline=baseline,
        sigmas=tuple(sigma),
        noise=noise,
        scope=scope,
    )
    _sample(job.debug() if debug else job, db)


def _sample(job: "Job", db: Path) -> None:
    from esprobe.report.text import plain

    summary = draw(job, db)
    shown = plain(str(db))
    if not summary.total:
        typer.echo(f"nothing to do: the plan has fewer units than shards, and none for shard {job.shard}")
        return
    if summary.outcome == "complete":
        typer.echo(f"nothing to do: all {summary.total:,} rollouts are in {shown}")
    else:
        typer.echo(f"{stored(summary, db)} ({summary.drawn:,} now)")
    typer.echo(f"next: esprobe passk --db {shlex.quote(shown)}")
