"""``rescore``: score stored completions with another scorer."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.formats import TableFormat
from esprobe.errors import StoppedError

if TYPE_CHECKING:
    from esprobe.sampling.stop import StopSignals


def rescore(
    db: options.DbPath = options.DEFAULT_DB,
    scorer: Annotated[
        str | None,
        typer.Option(
            "--scorer",
            help="strict/1, es-paper/1, or a name without version for its newest one; FILE.py:NAME for a function of "
            "your own. Default: the newest version of the scorer that gave each verdict.",
        ),
    ] = None,
    task: options.TaskFilter = None,
    model: options.ModelFilter = None,
    force: Annotated[
        bool, typer.Option("--force", help="Score again what that scorer has scored, after its source has changed.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Store the new verdicts. Default: only compare.")] = False,
    format: Annotated[TableFormat, typer.Option("--format", help="Output format.")] = TableFormat.table,
) -> None:
    """Score every stored completion again with another scorer, and report what changes. Needs no engine."""
    from esprobe.maintenance.rescoring import rescore as run
    from esprobe.maintenance.training_checks import rescored_runs
    from esprobe.report import rescore_text
    from esprobe.safe_text import plain
    from esprobe.sampling.stop import StopSignals
    from esprobe.store import RolloutStore
    from esprobe.store.choice import Filters

    with StopSignals() as stop, _progress(stop, db) as advance:
        stop.defer()
        filters = Filters((), task, model)
        done = run(db, scorer, write=write, advance=advance, warn=_warn, force=force, filters=filters)
    if format is TableFormat.json:
        typer.echo(rescore_text.as_json(done.changes, done.written), nl=False)
    elif done.sessions:
        typer.echo(rescore_text.as_table(done.changes), nl=False)
    if done.given:
        typer.echo(
            f"{done.given} imports were not changed: their verdicts are from the imported file, not from a scorer",
            err=True,
        )
    if done.skipped:
        kept = (
            "that scorer's verdicts" if scorer else "the newest verdicts of their scorers; --scorer names one for all"
        )
        typer.echo(f"{done.skipped} of {done.skipped + done.sessions} sessions had {kept} already", err=True)
    if done.edited:
        typer.echo(
            f"warning: the source of the scorer has changed since it scored {done.edited} of these sessions, which "
            f"keep the verdicts of the old one; add --force to score them again",
            err=True,
        )
    if not done.sessions:
        typer.echo("nothing to do", err=True)
    elif done.written:
        typer.echo(f"stored in {plain(str(db))}; completions are unchanged", err=True)
        with RolloutStore.open(db) as store:
            for note in rescored_runs(store).values():
                typer.echo(f"warning: {note}", err=True)
    else:
        given = (("--db", str(db)), ("--scorer", scorer), ("--task", task), ("--model", model))
        named = " ".join(f"{option} {shlex.quote(plain(value))}" for option, value in given if value)
        command = f"esprobe rescore {named}{' --force' if force else ''} --write"
        typer.echo(f"nothing was changed; to store these verdicts: {command}", err=True)


def _warn(message: str) -> None:
    from esprobe.safe_text import plain

    typer.echo(f"warning: {plain(message)}", err=True)


@contextmanager
def _progress(stop: "StopSignals", db: Path) -> Iterator[Callable[[int, int], None]]:
    """A progress bar if stderr is a terminal; stops the command between two batches after a signal.

    Raises:
        StoppedError: a signal arrived.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )
    with bar:
        task = bar.add_task("", total=None)

        def advance(rollouts: int, total: int) -> None:
            if stop():
                assert stop.received is not None
                raise StoppedError(
                    f"stopped by {stop.received.name}: finished sessions stay rescored, the others in {db} are "
                    f"unchanged; run the same command again to resume",
                    stop.exit_code,
                )
            bar.update(task, advance=rollouts, total=total)

        yield advance
