"""``merge``: several databases into one."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def merge(
    inputs: Annotated[list[Path], typer.Argument(help="Databases to read; they are not changed.", metavar="A.db ...")],
    into: Annotated[Path, typer.Option("--into", help="The database to add to; created if it does not exist.")],
) -> None:
    """Copy several databases into one. Merging again adds nothing; conflicting rollouts are refused."""
    from esprobe.records import several_devices, several_versions
    from esprobe.safe_text import plain
    from esprobe.store import RolloutStore
    from esprobe.store.merging import merge as run

    for merged in run(inputs, into):
        typer.echo(f"{plain(str(merged.path))}: {merged.copied:,} rollouts copied, {merged.known:,} were there already")
    with RolloutStore.open(into) as store:
        for stored in store.conditions():
            if mixed := several_versions(session.drawn_with for session in store.sessions(stored.id)):
                typer.echo(
                    f"warning: rollouts of {plain(stored.condition.label)} come from several versions "
                    f"({plain(', '.join(mixed))}), and the same seed may give another completion under each",
                    err=True,
                )
            if mixed := several_devices(worker for session in store.sessions(stored.id) for worker in session.workers):
                typer.echo(
                    f"warning: rollouts of {plain(stored.condition.label)} come from several kinds of devices "
                    f"({plain(', '.join(mixed))}), and the same seed may give another completion on each",
                    err=True,
                )
    typer.echo(f"next: esprobe passk --db {shlex.quote(plain(str(into)))}")
