"""pass@k against what was spent: rollouts, generated tokens, engine-seconds."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from esprobe.report.charts.model import Axis, Chart, Choice, Figure, Reference, Series, Style
from esprobe.report.charts.style import NULL, PUBLISHED, styles
from esprobe.report.text import count, percent, within
from esprobe.results.results import ConditionResult, NullResult, Results
from esprobe.stats.cost import CostPoint
from esprobe.stats.curve import Curve

NOTHING = "Nothing is stored yet, so there is no curve to draw."
Amount: TypeAlias = Callable[[CostPoint], float | None]
ROLLOUTS, TOKENS, SECONDS = range(3)
SHARE = Axis("problems solved", percent=True)


def pass_at_k(results: Results) -> Figure:
    """Every condition and null over k or cost, for all problems and for each class, with levels to compare with."""
    groups = sorted({made.group for r in results.conditions for made in r.by_group})
    axes = ["rollouts"]
    charts: dict[tuple[int, ...], Chart] = {}
    for number, group in enumerate([None, *groups]):
        charts[ROLLOUTS, number] = _over_rollouts(results, group)
    if any(r.detail is not None for r in results.conditions):
        axes += ["generated tokens", "engine-seconds"]
        for number in range(len(groups) + 1):
            charts[TOKENS, number] = _over_cost(results, f"{axes[TOKENS]} per problem", lambda p: p.tokens, number)
            charts[SECONDS, number] = _over_cost(results, f"{axes[SECONDS]} per problem", lambda p: p.seconds, number)
    filed = [(axis, 0) for axis in (ROLLOUTS, TOKENS) if (axis, 0) in charts and not charts[axis, 0].absent]
    return Figure(
        name="pass-at-k",
        title="pass@k",
        reading="Share of problems solved at least once in k rollouts, with 95 % intervals. Solid: temperatures. "
        "Dashed: perturbations. Dotted: what needs no model; a curve below it does worse than guessing.",
        charts=charts,
        choices=(Choice("Horizontal axis", tuple(axes)), Choice("Problem class", ("all", *groups))),
        filed=tuple(filed) or ((ROLLOUTS, 0),),
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


def references(results: Results, group: str | None = None) -> Iterator[Reference]:
    """The greedy baselines; for all problems also the published figures of models that this report has."""
    looks = styles(results)
    for r in results.greedy:
        if points := _of(r, group).points:
            yield Reference(results.labels[r.id], points[0].estimate, looks[r.id], r.id)
    here = {r.condition.model for r in results.conditions}
    for point in results.published:
        if point.model in here and group is None:
            yield Reference(f"{point.method} (published)", point.estimate, PUBLISHED)


def _over_rollouts(results: Results, group: str | None) -> Chart:
    x = Axis("k, rollouts per problem", "log", ticks=tuple(map(float, results.ks)))
    looks = styles(results)
    series = [
        line(results.labels[r.id], curve, looks[r.id], condition=r.id)
        for r in results.sampled
        if (curve := _of(r, group)).points
    ]
    if not series:
        return Chart(x=x, y=SHARE, absent=NOTHING)
    for null in results.nulls:
        curve = _of(null, group)
        # A null has no last rollout; its curve ends where the conditions' do.
        within_reach = Curve(tuple(p for p in curve.points if p.k <= max(results.ks)), curve.target, curve.level)
        if within_reach.points:
            series.append(line(null.label, within_reach, NULL))
    return Chart(x=x, y=SHARE, series=tuple(series), references=tuple(references(results, group)))


def _of(result: ConditionResult | NullResult, group: str | None) -> Curve:
    """The curve of one problem class, without points if there is none; of all problems for None."""
    if group is None:
        return result.curve
    return next((made.curve for made in result.by_group if made.group == group), Curve(()))


def _over_cost(results: Results, title: str, amount: Amount, group: int) -> Chart:
    x = Axis(title, "log")
    if group:
        return Chart(x=x, y=SHARE, absent="Cost is recorded for all problems together; choose the class all.")
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
