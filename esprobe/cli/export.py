"""``export``: rollouts for other tools."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.cli.files import refuse_database
from esprobe.cli.formats import ExportFormat
from esprobe.errors import UsageError


def export(
    db: options.DbPath = options.DEFAULT_DB,
    format: Annotated[ExportFormat, typer.Option("--format", help="Output format.")] = ExportFormat.jsonl,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write. Default: standard output (jsonl only).")
    ] = None,
    condition: options.ConditionFilter = None,
    task: options.TaskFilter = None,
    model: options.ModelFilter = None,
) -> None:
    """Write each rollout with its text as one flat row, for pandas, datasets and other tools."""
    from esprobe.maintenance import exporting
    from esprobe.safe_text import plain
    from esprobe.store import RolloutStore
    from esprobe.store.choice import Filters, selected

    with RolloutStore.open(db) as store, store.snapshot():
        chosen = selected(store, store.conditions(), Filters(tuple(condition or ()), task, model))
        for one in chosen:
            store.correctness(one.id)  # raises if its verdicts are damaged
        rows = exporting.rows(store, chosen)
        output = None if output == Path("-") else output
        if output is None:
            if format is ExportFormat.parquet:
                raise UsageError("--format parquet is binary, so it needs a file; name one with --output")
            exporting.write_json_lines(rows, sys.stdout)
            return
        refuse_database(output, "--output", db)
        write = exporting.export_json_lines if format is ExportFormat.jsonl else exporting.export_parquet
        typer.echo(f"{write(rows, output.resolve()):,} rollouts written to {plain(str(output))}")
