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
    task: options.TaskFilter = None,
    model: options.ModelFilter = None,
    format: Annotated[CurveFormat, typer.Option("--format", help="Output format.")] = CurveFormat.table,
) -> None:
    """Unbiased pass@k with 95 % intervals, for each stored condition."""
    from esprobe.analysis import load_results, load_tasks
    from esprobe.report import passk_json, passk_table
    from esprobe.report.notes_text import unavailable_task
    from esprobe.safe_text import plain
    from esprobe.store.choice import Filters

    filters = Filters(tuple(condition or ()), task, model)
    if format in (CurveFormat.table, CurveFormat.markdown):
        width = shutil.get_terminal_size((120, 24)).columns
        tables = [
            passk_table.as_table(one, width) if format is CurveFormat.table else passk_table.as_markdown(one)
            for one in load_tasks(db, filters, k)
        ]
        typer.echo("\n".join(tables), nl=False)
        return
    results = load_results(db, filters, k)
    for line in passk_table.given_up_lines(results, plain):
        typer.echo(f"note: {line}", err=True)
    for absent in results.unavailable_tasks:  # these formats have no notes
        typer.echo(f"note: {plain(unavailable_task(absent))}", err=True)
    typer.echo(passk_table.as_csv(results) if format is CurveFormat.csv else passk_json.as_json(results), nl=False)
