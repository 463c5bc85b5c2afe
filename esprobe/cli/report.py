"""``report``: all that a database says, as one document."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.errors import StoreError


class Format(StrEnum):
    """How a report is written."""

    markdown = "markdown"
    json = "json"


def report(
    db: options.DbPath = Path("esprobe.db"),
    format: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.markdown,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write it; standard output if not given.")
    ] = None,
    k: options.Ks = None,
    condition: options.ConditionFilter = None,
) -> None:
    """Setup, pass@k with intervals, baselines, what is incomplete, and provenance."""
    from esprobe.analysis import load_results
    from esprobe.report import markdown, report_json

    results = load_results(db, condition or (), k)
    text = markdown.as_report(results) if format is Format.markdown else report_json.as_report_json(results)
    if output is None:
        typer.echo(text, nl=False)
        return
    _write(output, text)
    typer.echo(f"report written to {output}")


def _write(path: Path, text: str) -> None:
    """All or nothing: a reader never sees half a report, and a failed write leaves the old one."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    except OSError as err:
        raise StoreError(
            f"the report cannot be written to {path} ({err.strerror}); name another place with --output"
        ) from err
