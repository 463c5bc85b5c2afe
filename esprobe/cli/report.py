"""``report``: all that a database says, as one document."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from esprobe.cli import options
from esprobe.errors import StoreError, UsageError


class Format(StrEnum):
    """How a report is written."""

    markdown = "markdown"
    json = "json"
    csv = "csv"


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
    from esprobe.report import markdown, report_csv, report_json

    results = load_results(db, condition or (), k, whole=True, workers=min(os.cpu_count() or 1, 4))
    match format:
        case Format.markdown:
            text = markdown.as_report(results)
        case Format.json:
            text = report_json.as_report_json(results)
        case Format.csv:
            text = report_csv.as_report_csv(results)
    if output is None:
        typer.echo(text, nl=False)
        return
    _write(output, text, db)
    typer.echo(f"report written to {output}")


def _write(path: Path, text: str, database: Path) -> None:
    """All or nothing: a reader never sees half a report, and a failed write leaves the old one."""
    path = path.resolve()  # what a link points to is replaced, not the link
    if path.name.removesuffix("-wal").removesuffix("-shm").removesuffix(".lock") == database.resolve().name and (
        path.parent == database.resolve().parent
    ):
        raise UsageError(f"--output {path} belongs to the database, which a report would destroy; name another file")
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder, and a report is one file; name a file in it")
    draft = path.with_name(path.name + ".part")
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # a pipe or a device: there is nothing to replace
            return
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    except OSError as err:
        draft.unlink(missing_ok=True)
        raise StoreError(
            f"the report cannot be written to {path} ({err.strerror}); name another place with --output"
        ) from err
