"""``backup``: a consistent copy of a database, also while a sampler runs."""

from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options


def backup(
    target: Annotated[Path, typer.Argument(help="The file to write.", metavar="COPY.db")],
    db: options.DbPath = options.DEFAULT_DB,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing copy.")] = False,
) -> None:
    """Copy the database to COPY.db as one consistent snapshot, also while a sampler runs."""
    from esprobe.safe_text import plain
    from esprobe.store.backup import back_up

    size = back_up(db, target, overwrite)
    typer.echo(f"{plain(str(db))} copied to {plain(str(target))} ({size / 1e6:,.1f} MB)")
