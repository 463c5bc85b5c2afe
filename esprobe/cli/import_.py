"""``import``: rollouts of other tools."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.cli.sampling_run import command_line


def import_(
    file: Annotated[
        Path, typer.Argument(help="JSON lines: a problem with its samples per line, or a rollout per line.")
    ],
    label: Annotated[str, typer.Option("--label", help="The condition's name in tables.")],
    db: options.DbPath = options.DEFAULT_DB,
    model: Annotated[
        str, typer.Option("--model", help="The model that made the rollouts; shown, not checked.")
    ] = "unknown",
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="Score as this task, whose indices the problems are. Default: use the file's verdicts."
        ),
    ] = None,
    data: options.DataName = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Temperature at which they were sampled.")
    ] = None,
) -> None:
    """Store rollouts of another tool as a condition of their own, for the same statistics."""
    from esprobe.maintenance.importing import Source, import_rollouts
    from esprobe.safe_text import plain

    done = import_rollouts(Source(file, label, model, task, data, temperature, command_line()), db)
    typer.echo(f"{done.new:,} rollouts of {done.problems:,} problems imported, {done.known:,} were there already")
    typer.echo(f"next: esprobe passk --db {shlex.quote(plain(str(db)))}")
