"""The full report as Markdown: what ran, what came out, what is incomplete, and what it ran on."""

from esprobe.report.charts.model import Drawn
from esprobe.report.pictures import picture_lines
from esprobe.report.sections import arranged
from esprobe.results.results import Results


def as_report(results: Results, drawn: Drawn | None = None, stem: str = "") -> str:
    """The report, ending in a line break.

    Args:
        results: all numbers.
        drawn: figures to show, whose picture files lie beside the report; none if None.
        stem: the report's file name without its ending, with which the pictures' names begin.
    """
    parts = []
    for part in arranged(results, drawn or {}):
        pictures = [line for figure in part.figures for line in picture_lines(stem, figure)]
        parts.append([part.heading, "", *pictures, *part.lines])
    # A title alone has nothing below it.
    return "\n\n".join("\n".join(part).rstrip("\n") for part in parts) + "\n"
