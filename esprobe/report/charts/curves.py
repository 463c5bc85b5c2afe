"""pass@k against what was spent: rollouts, generated tokens, engine-seconds."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from esprobe.report.charts.model import Axis, Chart, Choice, Figure, Reference, Series, Style
from esprobe.report.charts.style import GREEDY, NULL, PUBLISHED, styles
from esprobe.report.results import ConditionResult, Results
from esprobe.report.text import count, percent, within
from esprobe.stats.cost import CostPoint
from esprobe.stats.curve import Curve

NOTHING = "Nothing is stored yet, so there is no curve to draw."
Amount: TypeAlias = Callable[[CostPoint], float | None]
ROLLOUTS, TOKENS, SECONDS = range(3)
SHARE = Axis("problems solved", percent=True)


def pass_at_k(results: Results) -> Figure:
    """Every condition and null over k, with the baselines and published figures across."""
    charts: dict[tuple[int, ...], Chart] = {(ROLLOUTS,): _over_rollouts(results)}
    if any(r.detail is not None for r in results.conditions):
        charts[TOKENS,] = _over_cost(results, "generated tokens per problem", lambda point: point.tokens)
        charts[SECONDS,] = _over_cost(results, "engine-seconds per problem", lambda point: point.seconds)
    drawn = [key for key in charts if not charts[key].absent] or [(ROLLOUTS,)]
    return Figure(
        name="pass-at-k",
        title="pass@k",
        reading="Share of problems solved at least once in k rollouts, with 95 % intervals. Solid: temperatures. "
        "Dashed: perturbations. Dotted: what needs no model; a curve below it does worse than guessing.",
        charts=charts,
        choices=(Choice("Horizontal axis", ("rollouts", "generated tokens", "engine-seconds")[: len(charts)]),),
        filed=tuple(key for key in drawn if key != (SECONDS,)),
    )


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


def references(results: Results) -> Iterator[Reference]:
    """The greedy baselines, and published figures of models that this report has too."""
    for r in results.greedy:
        if r.curve.points:
            yield Reference(results.labels[r.id], r.curve.points[0].estimate, GREEDY, r.id)
    here = {r.condition.model for r in results.conditions}
    for point in results.published:
        if point.model in here:
            yield Reference(f"{point.method} (published)", point.estimate, PUBLISHED)


def _over_rollouts(results: Results) -> Chart:
    x = Axis("k, rollouts per problem", "log", ticks=tuple(map(float, results.ks)))
    looks = styles(results)
    series = [
        line(results.labels[r.id], r.curve, looks[r.id], condition=r.id) for r in results.sampled if r.curve.points
    ]
    if not series:
        return Chart(x=x, y=SHARE, absent=NOTHING)
    most = max(x for s in series for x in s.x if isinstance(x, float))
    for null in results.nulls:
        # A null has no last rollout; its curve ends where the conditions' do.
        within_reach = Curve(tuple(p for p in null.curve.points if p.k <= most), null.curve.target, null.curve.level)
        if within_reach.points:
            series.append(line(null.label, within_reach, NULL))
    return Chart(x=x, y=SHARE, series=tuple(series), references=tuple(references(results)))


def _over_cost(results: Results, title: str, amount: "Amount") -> Chart:
    x = Axis(title, "log")
    looks = styles(results)
    series = []
    for r in results.sampled:
        points = [] if r.detail is None else [p for p in r.detail.cost.points if amount(p)]
        if points:
            series.append(_cost_line(results, r, points, amount, title, looks[r.id]))
    if not series:
        why = NOTHING if not any(r.curve.points for r in results.sampled) else f"No {title} were recorded."
        return Chart(x=x, y=SHARE, absent=why)
    return Chart(x=x, y=SHARE, series=tuple(series), references=tuple(references(results)))


def _cost_line(
    results: Results, result: ConditionResult, points: list[CostPoint], amount: Amount, title: str, style: Style
) -> Series:
    label = results.labels[result.id]
    spent = [amount(p) or 0.0 for p in points]
    return Series(
        label=label,
        style=style,
        x=tuple(spent),
        y=tuple(p.estimate for p in points),
        low=tuple(p.ci_low for p in points),
        high=tuple(p.ci_high for p in points),
        words=tuple(
            f"{label}, {cost:,.3g} {title} (k = {count(p.k)}): {within(p.estimate, p.ci_low, p.ci_high)}"
            for cost, p in zip(spent, points, strict=True)
        ),
        condition=result.id,
    )
