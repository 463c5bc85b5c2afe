"""``sample-temp`` and ``sample-perturb``: draw what is owed, and stop so that the next run can go on."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.config import ConfigFile
from esprobe.cli.drawing import draw, stored, typed
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.sampling.job import Job


def sample_temp(
    db: options.DbPath = Path("esprobe.db"),
    model: options.ModelName = options.DEFAULT_MODEL,
    temperature: Annotated[
        list[float], typer.Option("-t", "--temperature", help="A sampling temperature; repeatable.")
    ] = [0.4, 0.6, 0.8, 1.0],  # noqa: B006 - typer reads the default, nothing changes it
    top_p: options.TopP = 1.0,
    top_k: options.TopK = -1,
    problems: options.ProblemSlice = "200:2200",
    samples: options.Samples = 1024,
    seed: options.Seed = 42,
    max_tokens: options.MaxTokens = 1024,
    task: options.TaskName = "countdown",
    data: options.DataName = None,
    prompt: options.PromptStyle = "chat",
    engine: options.EngineName = "auto",
    dtype: options.Dtype = "auto",
    batch_size: options.BatchSize = 64,
    max_num_seqs: options.MaxNumSeqs = 512,
    gpu_memory_utilization: options.GpuMemory = 0.85,
    enforce_eager: options.EnforceEager = False,
    tensor_parallel_size: options.TensorParallel = 1,
    batch_invariant: options.BatchInvariant = False,
    stop_loops: options.StopLoops = False,
    workers: options.Workers = None,
    workers_per_gpu: options.WorkersPerGpu = 1,
    ray: options.RayAddress = None,
    shard: options.ShardName = None,
    baseline: options.Baseline = True,
    debug: options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Token space: sample the unmodified model at several temperatures. The same command again resumes."""
    from esprobe.engines import EngineOptions
    from esprobe.fleet.crew import CrewOptions
    from esprobe.sampling.job import Job
    from esprobe.sampling.shard import WHOLE, Shard

    if not temperature:
        raise UsageError("no temperature is named, so there is nothing to sample; use -t 0.8")
    job = Job(
        command=typed(),
        model=model,
        engine=engine,
        task=task,
        data=data,
        problems=options.parse_slice(problems),
        samples=samples,
        seed=seed,
        max_tokens=max_tokens,
        dtype=dtype,
        prompt=prompt,
        baseline=baseline,
        stop_loops=stop_loops,
        options=EngineOptions(
            batch_size=batch_size,
            max_num_seqs=max_num_seqs,
            gpu_memory_utilization=gpu_memory_utilization,
            enforce_eager=enforce_eager,
            tensor_parallel_size=tensor_parallel_size,
            batch_invariant=batch_invariant,
        ),
        crew=CrewOptions(workers=workers, workers_per_gpu=workers_per_gpu, ray=ray),
        shard=Shard.parse(shard) if shard else WHOLE,
        temperatures=tuple(temperature),
        top_p=top_p,
        top_k=top_k,
    )
    _sample(job.debug() if debug else job, db)


def sample_perturb(
    db: options.DbPath = Path("esprobe.db"),
    model: options.ModelName = options.DEFAULT_MODEL,
    sigma: Annotated[
        list[float],
        typer.Option(
            "--sigma", help="Standard deviation of the noise on each weight; repeatable. 0 shows numerical noise alone."
        ),
    ] = [0.001, 0.003, 0.005, 0.01],  # noqa: B006 - as above
    noise: options.NoiseScheme = "iid",
    scope: options.Scope = None,
    problems: options.ProblemSlice = "200:2200",
    samples: options.Samples = 1024,
    seed: options.Seed = 42,
    max_tokens: options.MaxTokens = 1024,
    task: options.TaskName = "countdown",
    data: options.DataName = None,
    prompt: options.PromptStyle = "chat",
    engine: options.EngineName = "auto",
    dtype: options.Dtype = "auto",
    batch_size: options.BatchSize = 64,
    max_num_seqs: options.MaxNumSeqs = 512,
    gpu_memory_utilization: options.GpuMemory = 0.85,
    enforce_eager: options.EnforceEager = False,
    tensor_parallel_size: options.TensorParallel = 1,
    batch_invariant: options.BatchInvariant = False,
    stop_loops: options.StopLoops = False,
    workers: options.Workers = None,
    workers_per_gpu: options.WorkersPerGpu = 1,
    ray: options.RayAddress = None,
    shard: options.ShardName = None,
    baseline: options.Baseline = True,
    debug: options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Weight space: decode greedily under random weight perturbations. The same command again resumes."""
    from esprobe.engines import EngineOptions
    from esprobe.fleet.crew import CrewOptions
    from esprobe.sampling.job import Job
    from esprobe.sampling.shard import WHOLE, Shard

    if not sigma:
        raise UsageError("no sigma is named, so there is nothing to sample; use --sigma 0.005")
    job = Job(
        command=typed(),
        model=model,
        engine=engine,
        task=task,
        data=data,
        problems=options.parse_slice(problems),
        samples=samples,
        seed=seed,
        max_tokens=max_tokens,
        dtype=dtype,
        prompt=prompt,
        baseline=baseline,
        stop_loops=stop_loops,
        options=EngineOptions(
            batch_size=batch_size,
            max_num_seqs=max_num_seqs,
            gpu_memory_utilization=gpu_memory_utilization,
            enforce_eager=enforce_eager,
            tensor_parallel_size=tensor_parallel_size,
            batch_invariant=batch_invariant,
        ),
        crew=CrewOptions(workers=workers, workers_per_gpu=workers_per_gpu, ray=ray),
        shard=Shard.parse(shard) if shard else WHOLE,
        sigmas=tuple(sigma),
        noise=noise,
        scope=scope,
    )
    _sample(job.debug() if debug else job, db)


def _sample(job: "Job", db: Path) -> None:
    from esprobe.report.text import plain

    summary = draw(job, db)
    shown = plain(str(db))
    if summary.outcome == "complete":
        typer.echo(f"nothing to do: all {summary.total:,} rollouts are in {shown}")
    else:
        typer.echo(f"{stored(summary, db)} ({summary.drawn:,} now)")
    typer.echo(f"next: esprobe passk --db {shlex.quote(shown)}")
