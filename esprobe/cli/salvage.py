"""``salvage``: a sound database from a damaged one."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli.sampling_run import command_line

if TYPE_CHECKING:
    from esprobe.maintenance.salvage import Salvaged


def salvage(
    database: Annotated[Path, typer.Argument(help="The damaged database; it is only read.", metavar="X.db")],
    into: Annotated[Path, typer.Option("--into", help="The new database.")],
) -> None:
    """Copy every rollout that is still whole into a new database, and score it again. The rest can be sampled again."""
    from esprobe.maintenance.salvage import salvage as run
    from esprobe.safe_text import plain
    from esprobe.tables import boxed

    done = run(database, into, command_line())
    rows = [
        [
            plain(one.condition.condition.label),
            f"{one.kept:,}",
            "unknown" if one.recorded is None else f"{max(one.recorded - one.kept, 0):,}",
            f"{one.corrected:,}",
            "yes" if one.is_whole else "",
        ]
        for one in done.conditions
    ]
    typer.echo(boxed(["condition", "kept", "lost", "verdicts corrected", "complete"], rows, left={0, 4}), nl=False)
    for line in _notes(done):
        typer.echo(plain(line), err=True)
    kept = sum(one.kept for one in done.conditions)
    typer.echo(f"{kept:,} rollouts from {done.pages:,} pages written to {plain(str(into))}")
    where = shlex.quote(plain(str(into)))
    typer.echo(f"next: esprobe verify --db {where}")
    typer.echo(f"then run the sampling command again with --db {where}, which samples what is lost")


def _notes(done: "Salvaged") -> "list[str]":
    labels = {one.condition.id: one.condition.condition.label for one in done.conditions}
    notes = [
        f"dropped: {count:,} rollouts of {'lost conditions' if id_ is None else labels[id_]}: {why}"
        for (id_, why), count in done.dropped.items()
    ]
    notes += [
        f"warning: the {one.kept:,} rollouts kept of {labels[one.condition.id]} have {one.kept_tokens:,} tokens, but "
        f"{one.recorded_tokens:,} were recorded for {one.recorded:,}: a token count or the recorded sum has "
        f"changed, and nothing tells which, so do not trust the token figures of this condition"
        for one in done.conditions
        if one.has_wrong_tokens
    ]
    if done.foreign_log is not None:
        notes.append(
            f"the write-ahead log beside the file was not read, because it is another file's: {done.foreign_log}"
        )
    for task, scorer in done.unscored:
        notes.append(f"verdicts of {scorer} on {task} were kept as stored, because that scorer is not available here")
    return [*notes, *done.failures]
