"""``passk``: pass@k of each condition in a database."""

import shutil
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.cli.formats import CurveFormat


def passk(
    db: options.DbPath = options.DEFAULT_DB,
    k: options.Ks = None,
    condition: options.ConditionFilter = None,
    format: Annotated[CurveFormat, typer.Option("--format", help="Output format.")] = CurveFormat.table,
) -> None:
    """Unbiased pass@k with 95 % intervals, for each stored condition."""
    from esprobe.analysis import load_results
    from esprobe.report import passk_json, passk_table
    from esprobe.report.notes_text import unavailable_task
    from esprobe.safe_text import plain

    results = load_results(db, condition or (), k)
    match format:
        case CurveFormat.table:
            text = passk_table.as_table(results, shutil.get_terminal_size((120, 24)).columns)
        case CurveFormat.markdown:
            text = passk_table.as_markdown(results)
        case CurveFormat.csv:
            text = passk_table.as_csv(results)
        case CurveFormat.json:
            text = passk_json.as_json(results)
    if format in (CurveFormat.csv, CurveFormat.json):  # these formats have no notes
        for task in results.unavailable_tasks:
            typer.echo(f"note: {plain(unavailable_task(task))}", err=True)
    typer.echo(text, nl=False)
