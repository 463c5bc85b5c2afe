"""``merge``: several databases into one."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def merge(
    inputs: Annotated[list[Path], typer.Argument(help="Databases to read; they stay as they are.", metavar="A.db ...")],
    into: Annotated[Path, typer.Option("--into", help="Where everything goes; made, or added to.")],
) -> None:
    """Copy what the databases hold into one. Again is harmless; contradicting rollouts are refused by name."""
    from esprobe.report.text import plain
    from esprobe.store.merging import merge as run

    for merged in run(inputs, into):
        typer.echo(f"{plain(str(merged.path))}: {merged.copied:,} rollouts copied, {merged.known:,} were there already")
    typer.echo(f"next: esprobe passk --db {shlex.quote(plain(str(into)))}")
