"""``passk``: pass@k of the conditions in a database."""

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options


class Format(StrEnum):
    """How pass@k is written."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"


def passk(
    db: options.DbPath = Path("esprobe.db"),
    k: options.Ks = None,
    condition: options.ConditionFilter = None,
    format: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.table,
) -> None:
    """Unbiased pass@k with 95 % intervals, for every condition stored."""
    from esprobe.analysis import load_results
    from esprobe.report import passk_json, passk_table
    from esprobe.report.notes_text import unavailable_task
    from esprobe.safe_text import plain

    results = load_results(db, condition or (), k)
    match format:
        case Format.table:
            text = passk_table.as_table(results, shutil.get_terminal_size((120, 24)).columns)
        case Format.markdown:
            text = passk_table.as_markdown(results)
        case Format.csv:
            text = passk_table.as_csv(results)
        case Format.json:
            text = passk_json.as_json(results)
    if format in (Format.csv, Format.json):  # which have no notes
        for task in results.unavailable_tasks:
            typer.echo(f"note: {plain(unavailable_task(task))}", err=True)
    typer.echo(text, nl=False)
