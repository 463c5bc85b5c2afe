"""The trained model's pass@k against the base's, with the k at which the base catches up."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from math import log

from esprobe.report.charts.curves import SHARE, line
from esprobe.report.charts.model import Axis, Chart, Figure, Series, Style
from esprobe.report.charts.style import COOL, WARM
from esprobe.report.gain_text import crossing_k
from esprobe.report.text import rate, within
from esprobe.results.results import Results
from esprobe.results.training_gain import TrainingGain
from esprobe.stats.crossing import Crossing
from esprobe.stats.curve import Curve

TRAINED = Style(WARM[0], "solid", "circle", bold=True)
TRAINED_GREEDY = Style(WARM[0], "solid", "star", bold=True)
BASE = Style(COOL[0], "solid", "square")
BASE_WEIGHTS = Style(COOL[1], "dash", "triangle")
BASE_GREEDY = Style(COOL[0], "solid", "cross")
REACHES = Style("", "dot", "diamond")
CROSSES = Style("", "solid", "hexagon")


def training_gain(results: Results) -> Figure | None:
    """Both models' curves under one decoding, greedy pass@1 at k = 1, and both k with their confidence sets."""
    gain = results.training_gain
    if not isinstance(gain, TrainingGain):
        return None
    perturbed = {r.id for r in results.conditions if r.kind.shares_noise}
    series = (*_curves(gain, perturbed), *_greedy(gain), *_points(gain))
    ticks = {x for s in series for x in s.x if isinstance(x, float) and x.is_integer() and _is_power(int(x))}
    return Figure(
        name="training-gain",
        title="What training adds to the base",
        reading="Thick: the trained model. Diamond: where the base reaches the trained model's pass@1; hexagon: k*, "
        "where the two curves of one decoding cross. The lines through both are 95 % sets for k; one that ends at the "
        "edge of the figure is open there.",
        charts={
            (): Chart(x=Axis("k, rollouts per problem", "log", ticks=tuple(sorted(ticks))), y=SHARE, series=series)
        },
    )


def _is_power(k: int) -> bool:
    return k & (k - 1) == 0


def _curves(gain: TrainingGain, perturbed: Collection[int]) -> Iterator[Series]:
    """The trained model's curve first, so that it stands first in the legend."""
    pairs, curves = gain.coverage, gain.curves
    if pairs:
        label = f"trained model, {pairs[0].decoding}"
        yield line(label, curves[pairs[0].trained], TRAINED, condition=pairs[0].trained)
    weights = [reach for reach in gain.reaches[1:] if reach.condition in perturbed]
    for reach, style in zip([*gain.reaches[:1], *weights[:1]], (BASE, BASE_WEIGHTS), strict=False):
        yield line(f"base, {reach.decoding}", curves[reach.condition], style, condition=reach.condition)


def _greedy(gain: TrainingGain) -> Iterator[Series]:
    if None in gain.greedy:
        return
    (p,) = gain.pass_1.points
    for who, value, style, condition in (
        ("trained model", p.b, TRAINED_GREEDY, gain.greedy[1]),
        ("base", p.a, BASE_GREEDY, gain.greedy[0]),
    ):
        label = f"{who}, greedy"
        yield Series(
            label=label, style=style, x=(1.0,), y=(value,), words=(f"{label}: {rate(value)}",), condition=condition
        )


def _points(gain: TrainingGain) -> Iterator[Series]:
    """The two k, each a marker on a line that spans its set."""
    if gain.reaches and (point := gain.reaches[0].point) is not None:
        yield from _marked(point, gain.pass_1.points[0].b, REACHES, "k of trained pass@1")
    if gain.coverage and (point := gain.coverage[0].point) is not None:
        at = 1.0 if point.k is None else point.k
        yield from _marked(point, _height(gain.curves[gain.coverage[0].base], at), CROSSES, "crossing point k*")


def _marked(point: Crossing, height: float, style: Style, label: str) -> Iterator[Series]:
    k, among = crossing_k(point)
    words = f"{label} = {k} (95 % set: {among}), at {within(height, None, None)}"
    for low, high in point.ranges:
        ends = (1.0 if low is None else low, float(point.n) if high is None else high)
        yield Series(
            label=f"{label}: {among} (95 %)",
            style=replace(style, marker=""),
            x=ends,
            y=(height,) * 2,
            words=(words,) * 2,
        )
    if point.k is not None:
        yield Series(label=f"{label} = {k}", style=style, x=(point.k,), y=(height,), words=(words,))


def _height(curve: Curve, k: float) -> float:
    """pass@k between two points of a curve, linearly in log k."""
    points = curve.points
    for before, after in zip(points, points[1:], strict=False):
        if before.k <= k <= after.k:
            share = log(k / before.k) / log(after.k / before.k)
            return before.estimate + share * (after.estimate - before.estimate)
    return points[-1].estimate
