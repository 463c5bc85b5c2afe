"""A chart as frozen values, drawn by Plotly in the page and by matplotlib beside the Markdown report.

The values do not depend on the library, so that both show the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ChartKind = Literal["lines", "bars", "stacked", "points"]
Scale = Literal["linear", "log", "category"]
Dash = Literal["solid", "dash", "dot", "dashdot"]


@dataclass(frozen=True)
class Style:
    """How a series looks; distinguishable in colour, in grey and in print.

    Attributes:
        colour: "#rrggbb", or "" for that of the text.
        dash: of lines; names that both libraries know.
        marker: a name of ``style.MARKERS``; "" draws none.
        bold: whether it is drawn thick: what a figure is about.
    """

    colour: str
    dash: Dash = "solid"
    marker: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: with the unit, if any.
        scale: "category" for words.
        percent: values are shares, shown in per cent.
        ticks: where numbers stand; the library chooses if empty.
    """

    title: str
    scale: Scale = "linear"
    percent: bool = False
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, group of bars or cloud of points, all of equal length.

    Attributes:
        label: as the legend names it.
        style: how it looks.
        x: numbers, or words on a category axis.
        y: the values.
        low: lower ends of the intervals; None for a value without; empty without any.
        high: upper ends likewise.
        outer: (low, high) of a wider band that holds everywhere at once; empty without one.
        words: what is shown of each value when it is pointed at.
        texts: written beside each value; empty for none.
        condition: the id of the condition that it belongs to, by which it is shown and hidden; None for what is
            always shown.
    """

    label: str
    style: Style
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    outer: tuple[tuple[float, float], ...] = ()
    words: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    condition: int | None = None


@dataclass(frozen=True)
class Reference:
    """A value of y to compare with, drawn across the chart; ``condition`` as in ``Series``."""

    label: str
    value: float
    style: Style
    condition: int | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One picture.

    Attributes:
        x: the horizontal axis.
        y: the vertical axis.
        kind: how series are drawn.
        series: from back to front.
        references: lines across.
        absent: text in its place if there is nothing to draw; else empty.
    """

    x: Axis
    y: Axis
    kind: ChartKind = "lines"
    series: tuple[Series, ...] = ()
    references: tuple[Reference, ...] = ()
    absent: str = ""


@dataclass(frozen=True)
class Choice:
    """A list from which the reader of a page picks one entry."""

    label: str
    options: tuple[str, ...]
    first: int = 0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart, or several of which the reader picks one, under a title.

    Attributes:
        name: short and unique; an id in the page and a part of file names.
        title: what it is about.
        reading: how to read it, in a sentence or two.
        charts: by the numbers of the options picked, one for each choice; the key is () without choices.
        choices: what can be picked.
        filed: the keys of those charts that a document without scripts shows too.
    """

    name: str
    title: str
    reading: str
    charts: Mapping[tuple[int, ...], Chart]
    choices: tuple[Choice, ...] = ()
    filed: tuple[tuple[int, ...], ...] = field(default=((),))

    @property
    def first(self) -> Chart:
        """The chart that is seen before anything is picked."""
        return self.charts[tuple(choice.first for choice in self.choices)]


Drawn: TypeAlias = Mapping[str, Sequence[Figure]]
"""Figures by the heading of the report's section in which they stand."""
