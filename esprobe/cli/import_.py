"""``import``: rollouts of other tools."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.cli.sampling_run import command_line
from esprobe.maintenance.trust import Trust


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Rollouts: JSON lines with a rollout or a problem per line, or what lm-evaluation-harness, "
            "inspect_ai, human-eval, evalplus, verifiers, an OpenAI-style batch, limit-of-RLVR or Large Language "
            "Monkeys wrote; recognised by its content."
        ),
    ],
    label: Annotated[str, typer.Option("--label", help="The condition's name in tables.")],
    db: options.DbPath = options.DEFAULT_DB,
    model: Annotated[
        str, typer.Option("--model", help="The model that made the rollouts; shown, not checked.")
    ] = "unknown",
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="Score as this task, and find the problems in its data. Default: use the file's verdicts.",
        ),
    ] = None,
    data: options.DataName = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Temperature at which they were sampled.")
    ] = None,
    trust: Annotated[
        Trust | None,
        typer.Option(
            "--trust",
            help="Whose verdicts to store with --task. Default: the task's, if few of the file's differ.",
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            "--score",
            help="Which verdict to take where a file has several: a scorer of inspect_ai, a metric or filter of "
            "lm-evaluation-harness, base or plus of evalplus.",
        ),
    ] = None,
) -> None:
    """Store rollouts of another tool as a condition of their own, for the same statistics."""
    from esprobe.maintenance.importing import Source, import_rollouts
    from esprobe.safe_text import plain

    done = import_rollouts(Source(file, label, model, task, data, temperature, command_line(), trust, score), db)
    typer.echo(plain(f"read as {done.form}: {done.mapping}"))
    typer.echo(f"{done.new:,} rollouts of {done.problems:,} problems imported, {done.known:,} were there already")
    if done.judged:
        typer.echo(f"{done.correct:,} of {done.judged:,} are correct by the file's verdicts")
    if done.passed is not None:
        typer.echo(f"{done.passed:,} of {done.new + done.known:,} are correct by {done.scorer}, the task's scorer")
    if done.failed:
        typer.echo(f"left out, because they failed and have no completion: {done.failed:,}")
    for failure in done.failures:
        typer.echo(f"warning: {plain(failure)}", err=True)
    if done.by_content:
        typer.echo(f"{done.by_content:,} rollouts were matched to their problems by content, not by index")
    elif task is not None:
        typer.echo("matched by their numbers alone: the file's problem N is problem N of the data, which count from 0")
    if done.tally.rows:
        typer.echo(
            f"the verdicts of {done.scorer} were stored; the file's differ on {done.tally.differing:,} of "
            f"{done.tally.rows:,} rows"
        )
    typer.echo(f"next: esprobe passk --db {shlex.quote(plain(str(db)))}")
