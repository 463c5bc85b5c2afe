"""``train-es``: ES training into the same database as the rollouts that it is compared with."""

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.config import ConfigFile
from esprobe.cli.option_groups import grouped
from esprobe.cli.sampling_options import NoiseOptions, TrainingOptions, VllmOptions, WorkerOptions
from esprobe.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from esprobe.training.job import TrainingJob


@grouped
def train_es(
    *,
    training: TrainingOptions,
    noise: NoiseOptions,
    db: options.DbPath = options.DEFAULT_DB,
    vllm: VllmOptions,
    workers: WorkerOptions,
    debug: Annotated[
        bool, typer.Option("--debug", help="3 iterations of 4 members on the first 20 problems only.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Train with Evolution Strategies. Run the same command again to resume, with more --iterations to go on."""
    job = training.job(vllm, workers, noise)
    _train(job.debug() if debug else job, db, _kept(training, vllm, workers))


def _train(job: "TrainingJob", db: "Path", kept: "Sequence[str]") -> None:
    from esprobe.safe_text import plain
    from esprobe.sampling.stop import StopSignals

    shown = plain(str(db))
    with StopSignals() as stop:
        from esprobe.cli.progress import ConsoleObserver
        from esprobe.training.run import train

        with ConsoleObserver() as observer:
            summary = train(job, db, observer, stop)
    stored = f"{summary.iterations:,} of {summary.wanted:,} iterations stored in {shown}"
    if summary.outcome == "stopped":
        assert stop.received is not None
        raise StoppedError(
            f"stopped by {stop.received.name}: {stored}, nothing is lost; run the same command again to resume",
            stop.exit_code,
        )
    if summary.outcome == "complete":
        typer.echo(f"nothing to do: all {summary.wanted:,} iterations of training run {summary.run} are in {shown}")
    else:
        typer.echo(f"training run {summary.run}: {stored} ({summary.drawn:,} rollouts now)")
    words = ["esprobe", "sample-temp", "--db", shown, "--model", f"{shown}:{summary.run}@{summary.wanted}"]
    typer.echo(f"next: {shlex.join([*words, *kept])}")


def _kept(training: TrainingOptions, vllm: VllmOptions, workers: WorkerOptions) -> list[str]:
    """The options of a run that sampling from its model has to repeat: those with other than default values."""
    from esprobe.cli.option_groups import as_typed
    from esprobe.cli.sample import sample_temp

    values = asdict(training) | asdict(vllm) | asdict(workers)
    values["problems"] = training.eval_problems
    return as_typed(sample_temp, values, {"model", "name", "db", "seed", "samples", "temperature"})
