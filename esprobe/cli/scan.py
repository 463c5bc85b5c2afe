"""``scan``: which sigma, or temperature, is worth sampling."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.config import ConfigFile
from esprobe.cli.drawing import draw
from esprobe.cli.grouped import grouped
from esprobe.cli.sampling_options import SamplingOptions, VllmOptions, Workers
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.sampling.job import Job
    from esprobe.sampling.run import Summary
    from esprobe.scan.points import Asked


class Space(StrEnum):
    """Where draws differ."""

    weight = "weight"
    token = "token"


RANGES = {Space.weight: "0.0003:0.02", Space.token: "0.1:2"}


@dataclass(frozen=True)
class ScanOptions(SamplingOptions):
    """A scan asks for less."""

    problems: options.ProblemSlice = "200:264"
    samples: Annotated[int, typer.Option("--samples", help="Seeds, or draws of each problem; the k of pass@k.")] = 8


@grouped
def scan(
    *,
    space: Annotated[Space, typer.Option("--space", help="weight scans sigma, token scans the temperature.")] = (
        Space.weight
    ),
    range: Annotated[
        str | None,
        typer.Option("--range", help="Ends of the grid. Default: 0.0003:0.02, or 0.1:2.", metavar="LOW:HIGH"),
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Values of the logarithmic grid.")] = 8,
    noise: options.NoiseScheme = "iid",
    scope: options.Scope = None,
    top_p: options.TopP = 1.0,
    top_k: options.TopK = -1,
    db: options.DbPath = Path("esprobe.db"),
    wanted: ScanOptions,
    vllm: VllmOptions,
    workers: Workers,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw the scan too; the ending names the form (png, svg, pdf).")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """A few rollouts at each value of a grid, and which values to sample. They stay, so that a real run only adds."""
    from esprobe.scan.advice import advise
    from esprobe.scan.figure import check_figure, draw_figure
    from esprobe.scan.grid import logarithmic, parse_range
    from esprobe.scan.points import read_points
    from esprobe.scan.text import as_table, next_command
    from esprobe.store import RolloutStore

    if space is Space.weight and (top_p, top_k) != (1.0, -1):
        raise UsageError("--top-p and --top-k cut what is sampled in token space, and --space weight decodes greedily")
    if space is Space.token and (noise, scope) != ("iid", None):
        raise UsageError("--noise and --scope shape noise on weights, and --space token adds none")
    first, stop = options.parse_slice(wanted.problems)
    if stop - first == 1:
        raise UsageError(
            f"--problems {wanted.problems} is one problem, and only several tell a rise from luck; name more"
        )
    values = logarithmic(*parse_range(range or RANGES[space]), points)
    if figure is not None:
        check_figure(figure)
    job = wanted.job(
        vllm,
        pool=workers.pool_options(),
        baseline=True,
        sigmas=values if space is Space.weight else (),
        temperatures=values if space is Space.token else (),
        top_p=top_p,
        top_k=top_k,
        noise=noise,
        scope=scope,
    )
    summary = draw(job, db)
    with RolloutStore.open(db) as store:
        by_id = {stored.id: stored for stored in store.conditions()}
        greedy, *scanned = (by_id[id_] for id_ in summary.conditions)
        baseline, found = read_points(store, greedy, scanned, _asked(job, summary))
    name = "sigma" if space is Space.weight else "temperature"
    advice = advise(baseline, found, name)
    typer.echo(as_table(baseline, found, advice, name), nl=False)
    if figure is not None:
        draw_figure(figure, baseline, found, advice, name)
        typer.echo(f"figure: {figure}")
    following = next_command(advice, name, db, _kept(job))
    if following is not None:
        typer.echo(f"next: {following}")


def _asked(job: "Job", summary: "Summary") -> "Asked":
    from esprobe.scan.points import Asked

    first, _ = job.problems
    return Asked(range(first, first + summary.problems), job.seeds)


def _kept(job: "Job") -> list[str]:
    """Options without which the next command would draw other conditions, or in another way."""
    asked = {
        "--model": (job.model, options.DEFAULT_MODEL),
        "--engine": (job.engine, "auto"),
        "--task": (job.task, "countdown"),
        "--data": (job.data, None),
        "--prompt": (job.prompt, "chat"),
        "--dtype": (job.dtype, "auto"),
        "--max-tokens": (job.max_tokens, 1024),
        "--seed": (job.seed, 42),
        "--noise": (job.noise, "iid"),
        "--scope": (job.scope, None),
        "--top-p": (job.top_p, 1.0),
        "--top-k": (job.top_k, -1),
        "--tensor-parallel-size": (job.options.tensor_parallel_size, 1),
        "--batch-size": (job.options.batch_size, 64),
        "--max-num-seqs": (job.options.max_num_seqs, 512),
        "--gpu-memory-utilization": (job.options.gpu_memory_utilization, 0.85),
        "--workers": (job.pool.workers, None),
        "--workers-per-gpu": (job.pool.workers_per_gpu, 1),
        "--ray": (job.pool.ray, None),
    }
    named = [word for option, (value, usual) in asked.items() if value != usual for word in (option, str(value))]
    flags = {
        "--stop-loops": job.stop_loops,
        "--batch-invariant": job.options.batch_invariant,
        "--enforce-eager": job.options.enforce_eager,
    }
    return [*named, *(flag for flag, given in flags.items() if given)]
