"""pass@k against the number of rollouts."""

from esprobe.report.charts.model import Axis, Chart, Figure, Reference, Series, Style
from esprobe.report.charts.style import GREEDY, NULL, PUBLISHED, styles
from esprobe.report.results import Results
from esprobe.report.text import count, percent
from esprobe.stats.curve import Curve

NOTHING = "Nothing is stored yet, so there is no curve to draw."


def pass_at_k(results: Results) -> Figure:
    """Every condition and null over k, with the baselines and published figures across."""
    return Figure(
        name="pass-at-k",
        title="pass@k",
        reading="Share of problems solved at least once in k rollouts, with 95 % intervals. Dotted: what answering at "
        "random reaches; a model whose curve lies below does worse than that.",
        charts={(): _chart(results)},
    )


def _chart(results: Results) -> Chart:
    x, y = Axis("k, rollouts per problem", "log", ticks=tuple(map(float, results.ks))), Axis("pass@k", percent=True)
    looks = styles(results)
    series = [
        line(results.labels[r.id], r.curve, looks[r.id], condition=r.id) for r in results.sampled if r.curve.points
    ]
    if not series:
        return Chart(x=x, y=y, absent=NOTHING)
    series += [line(null.label, null.curve, NULL) for null in results.nulls if null.curve.points]
    return Chart(x=x, y=y, series=tuple(series), references=tuple(references(results)))


def line(label: str, curve: Curve, style: Style, *, condition: int | None = None) -> Series:
    """One curve with its band and the words of every point."""
    points = curve.points
    return Series(
        label=label,
        style=style,
        x=tuple(float(p.k) for p in points),
        y=tuple(p.estimate for p in points),
        low=tuple(p.ci_low for p in points),
        high=tuple(p.ci_high for p in points),
        words=tuple(f"{label}, k = {count(p.k)}: {percent(p)}" for p in points),
        condition=condition,
    )


def references(results: Results) -> list[Reference]:
    """The greedy baselines, and published figures of models that this report has too."""
    lines = [
        Reference(results.labels[r.id], r.curve.points[0].estimate, GREEDY) for r in results.greedy if r.curve.points
    ]
    here = {r.condition.model for r in results.conditions}
    published = [point for point in results.published if point.model in here]
    return lines + [Reference(f"{point.method} (published)", point.estimate, PUBLISHED) for point in published]
