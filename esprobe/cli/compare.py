"""``compare``: two conditions side by side, or one and guessing."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options


class Format(StrEnum):
    """How a comparison is written."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"


def compare(
    a: Annotated[str, typer.Argument(help="Id or label of a condition, or 'null' for guessing.", metavar="A")],
    b: Annotated[str, typer.Argument(help="Id or label of the condition to compare with it.", metavar="B")],
    db: options.DbPath = Path("esprobe.db"),
    k: options.Ks = None,
    format: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.table,
) -> None:
    """B against A, problem by problem: the difference at every k with intervals, and whose problems are whose."""
    from esprobe.analysis import compare as compare_in
    from esprobe.report import compare_json, compare_text

    comparison = compare_in(db, a, b, k)
    match format:
        case Format.table:
            text = compare_text.as_table(comparison)
        case Format.markdown:
            text = compare_text.as_markdown(comparison)
        case Format.csv:
            text = compare_text.as_csv(comparison)
        case Format.json:
            text = compare_json.as_json(comparison)
    typer.echo(text, nl=False)
