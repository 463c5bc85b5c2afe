"""Figures as picture files beside a Markdown report, and the lines that show them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from esprobe.report.charts.model import Chart, Figure
from esprobe.safe_text import markdown

FORMS = ("png", "svg")


@dataclass(frozen=True)
class Picture:
    """One chart that becomes one file of each form.

    Attributes:
        stem: the files' name without their ending.
        title: written over the chart.
        chart: what it shows.
    """

    stem: str
    title: str
    chart: Chart


def pictures(report: str, figures: Sequence[Figure]) -> Iterator[Picture]:
    """Every picture of a report whose file is called ``report`` without its ending; none where nothing can be drawn."""
    return (picture for figure in figures for picture in _of(report, figure) if not picture.chart.absent)


def picture_lines(report: str, figure: Figure) -> list[str]:
    """A figure in Markdown: its title, how to read it, and its pictures, or words where there is nothing to draw."""
    lines = [f"### {markdown(figure.title)}", "", markdown(figure.reading), ""]
    for picture in _of(report, figure):
        if picture.chart.absent:
            lines += [markdown(picture.chart.absent), ""]
        else:
            png, svg = (quote(f"{picture.stem}.{form}") for form in FORMS)
            lines += [f"[![{markdown(picture.title)}]({png})]({svg})", ""]
    return lines


def _of(report: str, figure: Figure) -> Iterator[Picture]:
    for number, key in enumerate(figure.filed):
        picked = [choice.options[option] for choice, option in zip(figure.choices, key, strict=True)]
        stem = f"{report}-{figure.name}" + (f"-{number + 1}" if number else "")
        yield Picture(stem, ": ".join([figure.title, *filter(None, [", ".join(picked)])]), figure.charts[key])
