"""``data``: commands on data sets; they need neither a model nor a database."""

from typing import Annotated

import typer

from esprobe import defaults
from esprobe.cli import options
from esprobe.cli.data_show import show
from esprobe.cli.formats import TableFormat

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.command("show")(show)


@app.callback()
def data() -> None:
    """Inspect a data set before sampling."""


@app.command("check")
def check(
    data: options.DataName = None,
    problems: Annotated[
        str | None,
        typer.Option(
            "--problems", help="Problem indices to check. Default: the task's test problems.", metavar="FIRST:STOP"
        ),
    ] = None,
    training: Annotated[
        str | None,
        typer.Option(
            "--training",
            help="Indices that a model may have been trained on. Default: the task's training problems.",
            metavar="FIRST:STOP",
        ),
    ] = None,
    task: options.TaskName = defaults.TASK,
    format: Annotated[TableFormat, typer.Option("--format", help="Output format.")] = TableFormat.table,
) -> None:
    """Find duplicates, test problems that are also training ones, and answers that no model could get right."""
    from esprobe.report import audit_text
    from esprobe.tasks import Audited, is_task_file, load_task, task_defaults
    from esprobe.tasks.audit import audit_any
    from esprobe.tasks.selection import past_the_end, select_problems

    loaded = load_task(task)
    rows = loaded.data_set(data)
    own = task_defaults(loaded)
    chosen = options.parse_slice(problems) if problems else own.sampled(len(rows.problems))
    trained = options.parse_slice(training, "--training") if training else own.training or (0, 0)
    select_problems(rows, *chosen)  # raises if there is none
    if (note := past_the_end(rows, *chosen)) is not None:
        typer.echo(note, err=True)
    if training or is_task_file(task):  # Countdown's default is for data of its own size
        note = past_the_end(rows, *trained, "--training" if training else "train")
        if note is not None:
            typer.echo(note, err=True)
    if isinstance(loaded, Audited):
        audit = loaded.audit(rows, chosen, trained)
    else:
        audit = audit_any(loaded, rows, chosen, trained)
    typer.echo(audit_text.as_json(audit) if format is TableFormat.json else audit_text.as_table(audit), nl=False)
