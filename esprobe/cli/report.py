"""``report``: all results of a database in one document."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esprobe.cli import options
from esprobe.cli.formats import ReportFormat
from esprobe.errors import LibraryError, UsageError

if TYPE_CHECKING:
    from esprobe.report.pictures import Picture
    from esprobe.results.results import Results
    from esprobe.store.choice import Filters

LARGE_PAGE_BYTES = 50_000_000
"""Browsers take long to open larger pages."""

NEEDED = "is not installed; type in a checkout of esprobe: pip install '.[plot]'"


def report(
    db: options.DbPath = options.DEFAULT_DB,
    format: Annotated[
        ReportFormat | None,
        typer.Option("--format", help="Output format. Default: by the ending of --output, else markdown."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write. Default: standard output.")
    ] = None,
    k: options.Ks = None,
    condition: options.ConditionFilter = None,
    task: options.TaskFilter = None,
    model: options.ModelFilter = None,
    base: options.BaseModelName = None,
    trained: options.TrainedModelName = None,
    figures: Annotated[
        bool | None,
        typer.Option(
            "--figures/--no-figures",
            help="Markdown: write PNG and SVG files beside the output. Default: if matplotlib is installed.",
            show_default=False,
        ),
    ] = None,
    completions: Annotated[
        int, typer.Option("--completions", min=0, help="HTML: completions per problem in the page.")
    ] = 8,
    characters: Annotated[
        int, typer.Option("--characters", min=0, help="HTML: characters per completion in the page.")
    ] = 1000,
) -> None:
    """Report all results: verdict, curves, comparisons, selection, costs, missing rollouts, provenance.

    A file with several tasks has a report for each, whose names end with the task's.
    """
    from esprobe.analysis import tasks_of
    from esprobe.cli.files import check_target
    from esprobe.store.choice import Filters

    format = format or _by_ending(output)
    # A missing library or an output that cannot be written is reported before minutes of computing.
    plotly = _plotly() if format is ReportFormat.html else ""
    pictured = format is ReportFormat.markdown and _pictured(output, figures)
    filters = Filters(tuple(condition or ()), task, model)
    tasks = tasks_of(db, filters)
    targets = [output if output is None or len(tasks) == 1 else _named_after(output, name) for name in tasks]
    for target in targets:
        if target is not None:
            check_target(target, db)
    if output is None and len(tasks) > 1 and format is not ReportFormat.markdown:
        raise UsageError(
            f"this database has several tasks ({', '.join(tasks)}), each with a report of its own; name one with "
            f"--task, or a file with --output, beside which each gets one"
        )
    for number, (name, target) in enumerate(zip(tasks, targets, strict=True)):
        if number and target is None:
            typer.echo("")
        _report(
            _Asked(db, format, target, k, replace(filters, task=name), base, trained, plotly, pictured),
            completions,
            characters,
        )


def _by_ending(output: Path | None) -> ReportFormat:
    ending = "" if output is None else output.suffix.lower().removeprefix(".")
    known = {"html": ReportFormat.html, "htm": ReportFormat.html, "json": ReportFormat.json, "csv": ReportFormat.csv}
    return known.get(ending, ReportFormat.markdown)


def _named_after(output: Path, task: str) -> Path:
    return output.with_name(f"{output.stem}-{task}{output.suffix}")


@dataclass(frozen=True)
class _Asked:
    """One report that was asked for."""

    db: Path
    format: ReportFormat
    output: Path | None
    k: list[int] | None
    filters: "Filters"
    base: str | None
    trained: str | None
    plotly: str
    pictured: bool


def _report(asked: _Asked, completions: int, characters: int) -> None:
    """Write the report of one task."""
    from esprobe.analysis import load_results
    from esprobe.report import markdown, report_csv, report_json
    from esprobe.report.gain_text import gain_notes
    from esprobe.report.notes_text import unavailable_task
    from esprobe.safe_text import plain

    db, format, output = asked.db, asked.format, asked.output
    workers = min(os.cpu_count() or 1, 4)
    results = load_results(
        db, asked.filters, asked.k, whole=True, workers=workers, base=asked.base, trained=asked.trained
    )
    if format in (ReportFormat.csv, ReportFormat.json):  # these formats have no notes
        for note in (*map(unavailable_task, results.unavailable_tasks), *gain_notes(results)):
            typer.echo(f"note: {plain(note)}", err=True)
    beside: dict[str, bytes] = {}
    if format is ReportFormat.json:
        text = report_json.as_report_json(results)
    elif format is ReportFormat.csv:
        text = report_csv.as_report_csv(results)
    elif format is ReportFormat.html:
        from esprobe.analysis.excerpts import load_explorer
        from esprobe.report.html.page import as_page

        text = as_page(results, load_explorer(db, results, completions, characters), asked.plotly)
        _warn_large(text, completions, characters)
    elif asked.pictured and output is not None:
        text, beside = _with_pictures(results, output, db)
    else:
        text = markdown.as_report(results)
    if output is None:
        typer.echo(text, nl=False)
        return
    from esprobe.cli.files import write

    write(output, text, beside, db)
    typer.echo(f"report written to {output}" + (f", with {len(beside)} figure files beside it" if beside else ""))


def _warn_large(page: str, completions: int, characters: int) -> None:
    size = len(page.encode())
    if size > LARGE_PAGE_BYTES:
        typer.echo(
            f"warning: the page has {size / 1e6:,.0f} MB, which browsers open slowly or not at all; for a smaller one "
            f"give less than --completions {completions:,} or --characters {characters:,}",
            err=True,
        )


def _plotly() -> str:
    """The text of plotly.min.js."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as err:
        raise LibraryError(f"plotly, which draws the page's figures, {NEEDED}") from err
    script: str = get_plotlyjs()
    return script


def _pictured(output: Path | None, wanted: bool | None) -> bool:
    """Whether to draw figures: as asked, else if files can be written beside the output and matplotlib is installed."""
    from importlib.util import find_spec

    from esprobe.cli.files import takes_files_beside

    possible = output is not None and takes_files_beside(output)
    installed = find_spec("matplotlib") is not None
    if wanted and not possible:
        raise UsageError("--figures writes files beside the report, so it needs --output with a file name")
    if wanted and not installed:
        raise LibraryError(f"matplotlib, which draws the figures, {NEEDED}, or leave --figures out")
    if wanted is None and possible and not installed:
        typer.echo(f"without figures: matplotlib, which draws them, {NEEDED}", err=True)
    return wanted is not False and possible and installed


def _with_pictures(results: "Results", output: Path, db: Path) -> tuple[str, dict[str, bytes]]:
    from esprobe.cli.files import check_figures
    from esprobe.report import markdown
    from esprobe.report.pictures import FORMS, pictures
    from esprobe.report.sections import figures_by_section

    drawn = figures_by_section(results)
    every = [figure for figures in drawn.values() for figure in figures]
    stem = output.resolve().stem
    files = list(pictures(stem, every))
    check_figures(output, [f"{picture.stem}.{form}" for picture in files for form in FORMS], db)
    return markdown.as_report(results, drawn, stem), dict(_files(files))


def _files(drawn: "Iterable[Picture]") -> Iterator[tuple[str, bytes]]:
    from esprobe.report.matplotlib_figures import draw

    for picture in drawn:
        yield f"{picture.stem}.png", draw(picture.chart, picture.title, "png")
        yield f"{picture.stem}.svg", draw(picture.chart, picture.title, "svg")
