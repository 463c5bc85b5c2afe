"""``remove``: take a mistaken condition out of a database."""

import shlex
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.errors import UsageError


def remove(
    condition: options.ConditionFilter = None,
    db: options.DbPath = options.DEFAULT_DB,
    task: options.TaskFilter = None,
    model: options.ModelFilter = None,
    write: Annotated[bool, typer.Option("--write", help="Remove them. Default: only say what would go.")] = False,
) -> None:
    """Take conditions out of the database, with their rollouts. Without --write nothing changes."""
    from esprobe.safe_text import plain
    from esprobe.store import RolloutStore, RolloutWriter
    from esprobe.store.choice import Filters, selected, table_labels
    from esprobe.store.removal import check_removable
    from esprobe.store.removal import remove as take_out

    filters = Filters(tuple(condition or ()), task, model)
    if not filters:
        raise UsageError("it is not said what to remove; name conditions with --condition, --task or --model")
    with RolloutStore.open(db) as store, store.snapshot():  # a file that does not exist is not created
        known = store.conditions()
        chosen = selected(store, known, filters)
        check_removable(chosen)
        labels = table_labels(store, known)
        for stored in chosen:
            typer.echo(f"{stored.id} ({plain(labels[stored.id])}): {store.totals(stored.id).rollouts:,} rollouts")
    if write:
        with RolloutWriter.open(db) as writer:
            removed = take_out(writer, chosen)
        typer.echo(f"removed from {plain(str(db))}: {removed:,} rollouts; the file keeps its size and reuses the room")
        return
    given = [("--condition", name) for name in filters.conditions]
    given += [(option, value) for option, value in (("--task", task), ("--model", model)) if value]
    words = " ".join(f"{option} {shlex.quote(plain(value))}" for option, value in given)
    command = f"esprobe remove --db {shlex.quote(plain(str(db)))} {words} --write"
    typer.echo(f"nothing was removed; to remove them for good: {command}", err=True)
