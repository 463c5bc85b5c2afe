"""``data``: commands on data sets; they need neither a model nor a database."""

from typing import Annotated

import typer

from esprobe import defaults
from esprobe.cli import options
from esprobe.cli.formats import TableFormat
from esprobe.errors import UsageError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Inspect a data set before sampling."""


@app.command("check")
def check(
    data: options.DataName = None,
    problems: Annotated[
        str, typer.Option("--problems", help="Problem indices to check.", metavar="FIRST:STOP")
    ] = defaults.PROBLEMS,
    training: Annotated[
        str, typer.Option("--training", help="Indices that a model may have been trained on.", metavar="FIRST:STOP")
    ] = defaults.TRAINING_PROBLEMS,
    task: options.TaskName = defaults.TASK,
    format: Annotated[TableFormat, typer.Option("--format", help="Output format.")] = TableFormat.table,
) -> None:
    """Find problems without a solution, unusual targets, duplicates, and test problems that are also training ones."""
    from esprobe.report import audit_text
    from esprobe.tasks import Audited, load_task
    from esprobe.tasks.selection import past_the_end, select_problems

    chosen = options.parse_slice(problems)
    trained = options.parse_slice(training, "--training")
    loaded = load_task(task)
    if not isinstance(loaded, Audited):
        raise UsageError(f"task {task} has no data checks (no method `audit`), so there is nothing to report")
    rows = load_task(task).data_set(data)
    select_problems(rows, *chosen)  # raises if there is none
    if (note := past_the_end(rows, *chosen)) is not None:
        typer.echo(note, err=True)
    audit = loaded.audit(rows, chosen, trained)
    typer.echo(audit_text.as_json(audit) if format is TableFormat.json else audit_text.as_table(audit), nl=False)
