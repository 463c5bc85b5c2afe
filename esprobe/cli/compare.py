"""``compare``: two conditions side by side, or one beside random guessing."""

from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.cli.formats import CurveFormat


def compare(
    a: Annotated[str, typer.Argument(help="Id or label of a condition, or 'null' for random guessing.", metavar="A")],
    b: Annotated[str, typer.Argument(help="Id or label of the condition to compare with it.", metavar="B")],
    db: options.DbPath = options.DEFAULT_DB,
    k: options.Ks = None,
    format: Annotated[CurveFormat, typer.Option("--format", help="Output format.")] = CurveFormat.table,
) -> None:
    """B minus A, paired by problem: the difference in pass@k with intervals, and which problems each one solves."""
    from esprobe.analysis.compare import compare as compare_in
    from esprobe.report import compare_json, compare_text

    comparison = compare_in(db, a, b, k)
    match format:
        case CurveFormat.table:
            text = compare_text.as_table(comparison)
        case CurveFormat.markdown:
            text = compare_text.as_markdown(comparison)
        case CurveFormat.csv:
            text = compare_text.as_csv(comparison)
        case CurveFormat.json:
            text = compare_json.as_json(comparison)
    typer.echo(text, nl=False)
