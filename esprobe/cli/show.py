"""``show``: read prompts and completions."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.formats import RolloutFormat
from esprobe.errors import UsageError

if TYPE_CHECKING:
    from esprobe.records import ShownRollout


def show(
    db: options.DbPath = options.DEFAULT_DB,
    condition: options.ConditionFilter = None,
    task: options.TaskFilter = None,
    model: options.ModelFilter = None,
    problem: Annotated[int | None, typer.Option("--problem", help="Only this problem, by its index.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Only this seed.")] = None,
    correct: Annotated[
        bool | None,
        typer.Option("--correct/--incorrect", help="Only correct or only incorrect rollouts.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many rollouts to show.")] = 10,
    offset: Annotated[int, typer.Option("--offset", help="How many rollouts to skip first.")] = 0,
    format: Annotated[
        RolloutFormat, typer.Option("--format", help="Output format; jsonl is one object per line.")
    ] = RolloutFormat.text,
) -> None:
    """Read prompts and completions, a page at a time; on a terminal in $PAGER."""
    from esprobe.report import rollout_text
    from esprobe.safe_text import plain
    from esprobe.store.browse import RolloutBrowser
    from esprobe.store.choice import Filters, selected, table_labels
    from esprobe.store.filters import RolloutFilter

    for name, value, least in (("limit", limit, 1), ("offset", offset, 0), ("problem", problem, 0), ("seed", seed, 0)):
        if value is not None and not least <= value < 2**63 - 1:
            raise UsageError(f"--{name} must be at least {least} and below 2**63 - 1, got {value}")
    with ExitStack() as stack:
        store = stack.enter_context(RolloutBrowser.open(db))
        known, filters = store.conditions(), Filters(tuple(condition or ()), task, model)
        chosen = selected(store, known, filters)
        labels = table_labels(store, known)
        selection = RolloutFilter([stored.id for stored in chosen], problem, seed, correct)
        # One more than is shown, to know whether more follow.
        found = stack.enter_context(closing(store.browse(selection, limit + 1, offset)))
        page = islice(found, limit)
        match format:
            case RolloutFormat.text:
                shown = _as_text(page, labels)
            case RolloutFormat.json:
                objects = [rollout_text.as_object(rollout, labels[rollout.condition_id]) for rollout in page]
                document = {"schema": rollout_text.SCHEMA, "rollouts": objects}
                typer.echo(json.dumps(document, indent=2))
                shown = len(objects)
            case RolloutFormat.jsonl:
                shown = 0
                for rollout in page:
                    typer.echo(rollout_text.as_json_line(rollout, labels[rollout.condition_id]), nl=False)
                    shown += 1
        if next(found, None) is not None:
            typer.echo(f"{shown} shown, more follow: add --offset {offset + shown}", err=True)
        elif not shown:
            beyond = f" after the first {offset}" if offset else ""
            typer.echo(f"no rollout in {plain(str(db))} matches{beyond}", err=True)


def _as_text(rollouts: "Iterator[ShownRollout]", labels: dict[int, str]) -> int:
    """Print rollouts as text, and return how many."""
    from rich.console import Console

    from esprobe.report.rollout_text import as_text

    console = Console(highlight=False)
    shown = 0
    if not console.is_terminal or not sys.stdin.isatty():
        for rollout in rollouts:
            typer.echo(as_text(rollout, labels[rollout.condition_id]).plain)
            shown += 1
        return shown
    # git's settings: exit at once if everything fits on the screen, keep colours, do not clear it afterwards.
    os.environ.setdefault("LESS", "-FRX")
    with console.pager(styles=True):
        for rollout in rollouts:
            console.print(as_text(rollout, labels[rollout.condition_id]))
            shown += 1
    return shown
