"""Charts as PNG and SVG files, for documents. The only module that needs matplotlib, and it loads it late."""

import io
import textwrap
import warnings
from typing import TYPE_CHECKING, Any, Literal

from esprobe.report.charts.model import Axis, Chart, Series
from esprobe.safe_text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = {
    "circle": "o", "square": "s", "triangle": "^", "cross": "X", "diamond": "D", "star": "*", "pentagon": "p",
    "hexagon": "h",
}  # fmt: skip
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
HATCHES = {"solid": "", "dash": "//", "dot": "..", "dashdot": "xx"}
INK = "#333333"
BAND = 0.16
SETTINGS = {
    "svg.hashsalt": "esprobe",  # the same chart is the same file, whenever it is drawn
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that files do not depend on the machine's fonts
    "text.parse_math": False,  # labels may hold dollar signs
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(chart: Chart, title: str, form: Literal["png", "svg"]) -> bytes:
    """The chart as a file's content, on white, for reading in print.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the chart has nothing to draw.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if chart.absent:
        raise ValueError(f"nothing to draw: {chart.absent}")
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the tables have it in words.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=(8, 4.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(plain(title), loc="left", fontsize=12)
        paint = {"lines": _lines, "points": _points, "bars": _bars, "stacked": _stacked}[chart.kind]
        paint(axes, chart.series)
        for reference in chart.references:
            style: dict[str, Any] = {"color": reference.style.colour or INK, "ls": DASHES[reference.style.dash]}
            axes.axhline(
                reference.value, lw=2.4 if reference.style.bold else 1.3, label=plain(reference.label), **style
            )
        _axis(axes, chart.x, "x")
        _axis(axes, chart.y, "y")
        if chart.y.scale == "linear":
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if _negative(chart) else 0.0)
        axes.grid(visible=True, color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
        buffer = io.BytesIO()
        # Without a date, for the same reason.
        figure.savefig(buffer, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return buffer.getvalue()


def _negative(chart: Chart) -> bool:
    values = [value for s in chart.series for value in (*s.y, *s.low, *(low for low, _ in s.outer))]
    return any(value is not None and value < 0 for value in values)


def _axis(axes: "Axes", axis: Axis, which: Literal["x", "y"]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

    own = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}label": plain(axis.title)})
    if axis.scale == "log":
        axes.set(**{f"{which}scale": "log"})
        own.set_minor_locator(NullLocator())
        # The default writes powers as formulas, which are not read as such here.
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    if axis.percent:
        own.set_major_formatter(PercentFormatter(1.0))
    if axis.ticks:
        own.set_ticks(list(axis.ticks), labels=[f"{tick:,g}" for tick in axis.ticks])


def _colour(series: Series) -> str:
    return series.style.colour or INK


def _lines(axes: "Axes", all_series: tuple[Series, ...]) -> None:
    for series in all_series:
        x: Any = series.x
        if series.outer:
            lows, highs = zip(*series.outer, strict=True)
            axes.fill_between(x, lows, highs, color=_colour(series), alpha=BAND / 2, lw=0)
        if series.low:
            low = [float("nan") if value is None else value for value in series.low]
            high = [float("nan") if value is None else value for value in series.high]
            axes.fill_between(x, low, high, color=_colour(series), alpha=BAND, lw=0)
        style: dict[str, Any] = {"color": _colour(series), "ls": DASHES[series.style.dash]}
        style |= {"lw": 3.2, "ms": 9, "zorder": 3} if series.style.bold else {"lw": 1.6, "ms": 5}
        axes.plot(x, series.y, marker=MARKERS.get(series.style.marker), label=plain(series.label), **style)


def _points(axes: "Axes", all_series: tuple[Series, ...]) -> None:
    for series in all_series:
        x: Any = [textwrap.fill(plain(v), 14) if isinstance(v, str) else v for v in series.x]
        if series.low:
            axes.errorbar(x, series.y, yerr=_errors(series), fmt="none", ecolor=INK, lw=1)
        axes.scatter(
            x,
            series.y,
            s=50,
            color=_colour(series),
            marker=MARKERS.get(series.style.marker, "o"),
            label=plain(series.label),
        )
        for place, text in enumerate(series.texts):
            axes.annotate(
                plain(text), (x[place], series.y[place]), xytext=(0, 7), textcoords="offset points", fontsize=8
            )


def _bars(axes: "Axes", all_series: tuple[Series, ...]) -> None:
    width = 0.8 / max(len(all_series), 1)
    for number, series in enumerate(all_series):
        places = [i - 0.4 + (number + 0.5) * width for i in range(len(series.x))]
        errors = _errors(series) if any(value is not None for value in series.low) else None
        style: dict[str, Any] = {
            "color": _colour(series),
            "edgecolor": INK,
            "lw": 0.5,
            "error_kw": {"ecolor": INK, "lw": 0.9},
        }
        axes.bar(places, series.y, width, yerr=errors, label=plain(series.label), **style)
    _words(axes, all_series)


def _stacked(axes: "Axes", all_series: tuple[Series, ...]) -> None:
    bottom = [0.0] * (len(all_series[0].y) if all_series else 0)
    for series in all_series:
        style: dict[str, Any] = {"color": _colour(series), "edgecolor": "white", "lw": 0.7}
        style |= {"hatch": HATCHES[series.style.dash], "label": plain(series.label)}
        axes.bar(range(len(series.x)), series.y, 0.7, bottom=bottom, **style)
        bottom = [below + value for below, value in zip(bottom, series.y, strict=True)]
    _words(axes, all_series)


def _words(axes: "Axes", all_series: tuple[Series, ...]) -> None:
    words = [textwrap.fill(plain(str(word)), 14) for word in all_series[0].x] if all_series else []
    axes.set_xticks(range(len(words)), labels=words, fontsize=8)


def _errors(series: Series) -> list[list[float]]:
    """(2, N): how far the interval reaches below and above each value; 0 where there is none."""
    ends = list(zip(series.y, series.low, series.high, strict=True))
    below = [0.0 if low is None else max(y - low, 0.0) for y, low, _ in ends]
    return [below, [0.0 if high is None else max(high - y, 0.0) for y, _, high in ends]]
