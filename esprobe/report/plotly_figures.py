"""Charts as Plotly's figure JSON, for the page. Needs nothing of Plotly to do so."""

import textwrap
from typing import Any

from esprobe.report.charts.model import Axis, Chart, Reference, Series, Style
from esprobe.safe_text import html

MARKERS = {
    "circle": "circle", "square": "square", "triangle": "triangle-up", "cross": "x", "diamond": "diamond",
    "star": "star", "pentagon": "pentagon", "hexagon": "hexagon",
}  # fmt: skip
PATTERNS = {"solid": "", "dash": "/", "dot": ".", "dashdot": "x"}
"""What dashes are to lines, hatching is to bars."""

BAND = 0.16
"""How opaque an interval's band is; the band that holds everywhere at once is half of that."""
WORD_WIDTH = 18
INK = "#555555"
"""Stands for the text colour; the page replaces it by that of the reader's colour scheme."""


def safe(text: str) -> str:
    """Text that Plotly shows as it is: it reads a small part of HTML, links included, in whatever it writes."""
    shown = html(text, quote=False)
    # Plotly keeps what it has drawn under its name in plain objects, where this one name is their prototype.
    return f"{shown} " if shown == "__proto__" else shown


def _word(word: float | str) -> float | str:
    """A value of x; words of a category axis in lines short enough to stand side by side."""
    return "<br>".join(map(safe, textwrap.wrap(word, WORD_WIDTH))) if isinstance(word, str) else word


def as_plotly(chart: Chart) -> dict[str, Any]:
    """``{"data": [...], "layout": {...}}``; or ``{"absent": words}`` where there is nothing to draw.

    Each trace carries in ``meta`` the condition that it belongs to, by which the page hides it.
    """
    if chart.absent:
        return {"absent": chart.absent}
    draw = {"lines": _line, "points": _points, "bars": _bars, "stacked": _bars}[chart.kind]
    data = [trace for series in chart.series for trace in draw(chart, series)]
    data += [_reference(chart, reference) for reference in chart.references]
    layout = {
        "xaxis": _axis(chart.x),
        "yaxis": _axis(chart.y) | {"rangemode": "tozero"},
        "barmode": "stack" if chart.kind == "stacked" else "group",
        "hovermode": "closest",
        "showlegend": True,
    }
    return {"data": data, "layout": layout}


def _axis(axis: Axis) -> dict[str, Any]:
    made: dict[str, Any] = {"title": {"text": safe(axis.title)}, "type": axis.scale, "automargin": True}
    if axis.percent:
        made["tickformat"] = ".2~%"
    if axis.ticks:
        made |= {"tickmode": "array", "tickvals": list(axis.ticks), "ticktext": [f"{t:,g}" for t in axis.ticks]}
    return made


def _common(series: Series) -> dict[str, Any]:
    return {
        "name": safe(series.label),
        "legendgroup": safe(series.label),
        "x": list(map(_word, series.x)),
        "y": list(series.y),
        "hovertext": list(map(safe, series.words)),
        "hoverinfo": "text" if series.words else "all",
        "meta": series.condition,
    }


def _line(chart: Chart, series: Series) -> list[dict[str, Any]]:
    traces = []
    if series.outer:
        lows, highs = zip(*series.outer, strict=True)
        traces += _band(series, list(series.x), list(lows), list(highs), BAND / 2)
    for x, low, high in _stretches(series):
        traces += _band(series, x, low, high, BAND)
    look = series.style
    mode = "lines+markers" if look.marker else "lines"
    width = 4 if look.bold else 2
    made = {"type": "scatter", "mode": mode, "line": {"color": look.colour or INK, "dash": look.dash, "width": width}}
    if look.marker:
        made["marker"] = _marker(look)
    return [*traces, _common(series) | made]


def _stretches(series: Series) -> list[tuple[list[Any], list[float], list[float]]]:
    """Runs of points that have an interval: a band has gaps where there is none."""
    runs: list[tuple[list[Any], list[float], list[float]]] = []
    gap = True
    for x, low, high in zip(series.x, series.low, series.high, strict=False):
        if low is None or high is None:
            gap = True
            continue
        if gap:
            runs.append(([], [], []))
        gap = False
        for values, value in zip(runs[-1], (x, low, high), strict=True):
            values.append(value)
    return runs


def _band(series: Series, x: list[Any], low: list[float], high: list[float], opacity: float) -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x + x[::-1],
            "y": high + low[::-1],
            "fill": "toself",
            "fillcolor": _faded(series.style.colour or INK, opacity),
            "line": {"width": 0},
            "hoverinfo": "skip",
            "legendgroup": safe(series.label),
            "showlegend": False,
            "name": safe(f"{series.label}, interval"),
            "meta": series.condition,
        }
    ]


def _faded(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def _marker(look: Style) -> dict[str, Any]:
    return {"symbol": MARKERS.get(look.marker, "circle"), "size": 11 if look.bold else 8, "color": look.colour or INK}


def _points(chart: Chart, series: Series) -> list[dict[str, Any]]:
    made: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers+text" if series.texts else "markers",
        "text": list(map(safe, series.texts)),
        "textposition": "top center",
        "marker": _marker(series.style) | {"size": 11},
        "error_y": _errors(series),
    }
    return [_common(series) | made]


def _bars(chart: Chart, series: Series) -> list[dict[str, Any]]:
    # A line around each bar in the text's colour keeps neighbours apart in grey print.
    made: dict[str, Any] = {
        "type": "bar",
        "marker": {
            "color": series.style.colour or INK,
            "line": {"width": 0.5, "color": INK},
            "pattern": {
                "shape": PATTERNS[series.style.dash],
                "solidity": 0.15,
                "fillmode": "overlay",
                "fgcolor": "#FFFFFF",
            },
        },
        "error_y": _errors(series),
    }
    return [_common(series) | made]


def _errors(series: Series) -> dict[str, Any]:
    if not any(value is not None for value in series.low):
        return {"visible": False}
    ends = list(zip(series.y, series.low, series.high, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if high is None else high - y for y, _, high in ends],
        "arrayminus": [0 if low is None else y - low for y, low, _ in ends],
        "color": INK,
        "thickness": 1.2,
    }


def _reference(chart: Chart, reference: Reference) -> dict[str, Any]:
    """A line over every x that the chart has: a trace, so that the legend can hide it and it can be pointed at."""
    places = list(dict.fromkeys(x for series in chart.series for x in series.x))
    if chart.x.scale != "category":
        places.sort(key=float)
    colour = reference.style.colour or INK
    shown = f"{100 * reference.value:.3g} %" if chart.y.percent else f"{reference.value:g}"
    return {
        "type": "scatter",
        # A dash at each place too, for a line over a single one has no length.
        "mode": "lines+markers",
        "name": safe(reference.label),
        "x": list(map(_word, places)),
        "y": [reference.value] * len(places),
        "line": {"color": colour, "dash": reference.style.dash, "width": 3 if reference.style.bold else 1.5},
        "marker": {"symbol": "line-ew", "size": 14, "line": {"color": colour, "width": 1.5}},
        "hovertext": safe(f"{reference.label}: {shown}"),
        "hoverinfo": "text",
        "meta": reference.condition,
    }
