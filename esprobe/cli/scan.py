"""``scan``: which sigma, or temperature, is worth sampling."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from esprobe import defaults
from esprobe.cli import options
from esprobe.cli.config import ConfigFile
from esprobe.cli.option_groups import as_typed, grouped
from esprobe.cli.sample import sample_perturb, sample_temp
from esprobe.cli.sampling_options import NoiseOptions, SamplingOptions, TokenOptions, VllmOptions, WorkerOptions
from esprobe.cli.sampling_run import draw
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.sampling.job import Job
    from esprobe.sampling.run import Summary
    from esprobe.scan.points import ScanPoint


class Space(StrEnum):
    """Which arm is scanned."""

    weight = "weight"
    token = "token"


@dataclass(frozen=True)
class ScanOptions(SamplingOptions):
    """A scan samples fewer problems, with fewer rollouts each."""

    most_problems: ClassVar[int | None] = defaults.SCAN_PROBLEMS

    problems: Annotated[
        str | None,
        typer.Option(
            "--problems",
            help=f"Problem indices to sample. Default: the first {defaults.SCAN_PROBLEMS} of the task's test problems.",
            metavar="FIRST:STOP",
        ),
    ] = None
    samples: Annotated[int, typer.Option("--samples", help="Rollouts per problem and value; the k of pass@k.")] = (
        defaults.SCAN_SAMPLES
    )


@dataclass(frozen=True)
class Arm:
    """What differs between a scan of the weight space and one of the token space.

    Attributes:
        command: the sampling command of this arm.
        name: what the values are, in words.
        field: the field of a job that takes the values.
        range: the default of ``--range``.
    """

    command: Callable[..., None]
    name: str
    field: str
    range: str


ARMS = {
    Space.weight: Arm(sample_perturb, "sigma", "sigmas", defaults.SCAN_SIGMA_RANGE),
    Space.token: Arm(sample_temp, "temperature", "temperatures", defaults.SCAN_TEMPERATURE_RANGE),
}

REPLACED = frozenset(
    {"sigma", "temperature", "samples", "db", "baseline", "shard", "debug", "config", "give_up_broken"}
)
"""Parameters of the sampling commands that a scan does not have, or that the suggested command sets itself."""


@grouped
def scan(
    *,
    space: Annotated[Space, typer.Option("--space", help="weight scans sigma, token scans the temperature.")] = (
        Space.weight
    ),
    range: Annotated[
        str | None,
        typer.Option(
            "--range",
            help=f"Lowest and highest value. Default: {defaults.SCAN_SIGMA_RANGE} for sigma, "
            f"{defaults.SCAN_TEMPERATURE_RANGE} for the temperature.",
            metavar="LOW:HIGH",
        ),
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Number of values, evenly spaced on a log scale.")] = (
        defaults.SCAN_POINTS
    ),
    noise: NoiseOptions,
    decoding: TokenOptions,
    db: options.DbPath = options.DEFAULT_DB,
    sampling: ScanOptions,
    vllm: VllmOptions,
    workers: WorkerOptions,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Also plot the scan to this file (.png, .svg, .pdf, ...).")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Sample a little at each value of a grid, and advise which values to sample. A later run reuses the rollouts."""
    from esprobe.scan.advice import advise
    from esprobe.scan.figure import check_figure, draw_figure
    from esprobe.scan.grid import logarithmic, parse_range
    from esprobe.scan.text import as_table, next_command

    arm = ARMS[space]
    _check(space, sampling, noise, decoding)
    values = logarithmic(*parse_range(range or arm.range), points)
    if figure is not None:
        check_figure(figure)
    job = sampling.job(vllm, workers, decoding, noise, baseline=True, **{arm.field: values})
    baseline, found = _read(job, draw(job, db), db)
    advice = advise(baseline, found, arm.name)
    typer.echo(as_table(baseline, found, advice, arm.name), nl=False)
    if figure is not None:
        draw_figure(figure, baseline, found, advice, arm.name)
        typer.echo(f"figure: {figure}")
    kept = kept_options(arm.command, sampling, vllm, workers, noise, decoding)
    following = next_command(advice, arm.name, db, kept)
    if following is not None:
        typer.echo(f"next: {following}")


def kept_options(command: Callable[..., None], sampling: ScanOptions, *groups: Any) -> list[str]:
    """The options of a scan that the suggested sampling command has to repeat: those with other than default values.

    ``--problems`` is repeated only if it was given: a scan's default is smaller than a study on purpose.
    """
    values: dict[str, Any] = {}
    for group in (sampling, *groups):
        values |= asdict(group)
    return as_typed(command, values, REPLACED)


def _check(space: Space, sampling: ScanOptions, noise: NoiseOptions, decoding: TokenOptions) -> None:
    if space is Space.weight and decoding != TokenOptions():
        raise UsageError("--top-p and --top-k apply to --space token only, because --space weight decodes greedily")
    if space is Space.token and noise != NoiseOptions():
        raise UsageError("--noise and --scope apply to --space weight only, because --space token adds no noise")
    first, stop = options.parse_slice(sampling.problems) if sampling.problems is not None else (0, 0)
    if stop - first == 1:
        raise UsageError(
            f"--problems {sampling.problems} is one problem, too few to tell an improvement from chance; use more"
        )


def _read(job: "Job", summary: "Summary", db: Path) -> "tuple[ScanPoint, list[ScanPoint]]":
    """The baseline's point and those of the scanned values, from the database."""
    from esprobe.scan.points import ScanExtent, read_points
    from esprobe.store import RolloutStore

    first, _ = job.problems
    extent = ScanExtent(problems=range(first, first + summary.problems), seeds=job.seeds)
    with RolloutStore.open(db) as store:
        by_id = {stored.id: stored for stored in store.conditions()}
        greedy, *scanned = (by_id[id_] for id_ in summary.conditions)
        return read_points(store, greedy, scanned, extent)
