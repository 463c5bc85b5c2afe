"""pass@k extrapolated beyond n."""

from esprobe.report.charts.curves import NOTHING, SHARE, line
from esprobe.report.charts.model import Axis, Chart, Figure, Series, Style
from esprobe.report.charts.style import styles
from esprobe.report.text import count, within
from esprobe.results.results import Results
from esprobe.stats.extrapolation import Forecast


def extrapolation(results: Results) -> Figure:
    """Each condition's curve, and its forecasts by a fit to the counts."""
    looks, series = styles(results), []
    reasons: dict[str, None] = {}
    for r in results.sampled:
        label, made = results.labels[r.id], None if r.detail is None else r.detail.extrapolation
        if made is None or not made.forecasts:
            reasons |= {made.note: None} if made is not None and made.note is not None else {}
            continue
        series.append(line(label, r.curve, looks[r.id], condition=r.id))
        # The forecast continues from the last measured point.
        last = r.curve.points[-1]
        ahead = (Forecast(last.k, last.estimate, None, None), *made.forecasts)
        series.append(
            Series(
                label=f"{label}, forecast",
                style=Style(looks[r.id].colour, "dot"),
                x=tuple(float(f.k) for f in ahead),
                y=tuple(f.estimate for f in ahead),
                low=tuple(f.ci_low for f in ahead),
                high=tuple(f.ci_high for f in ahead),
                words=tuple(
                    f"{label}, forecast for k = {count(f.k)}: {within(f.estimate, f.ci_low, f.ci_high)}" for f in ahead
                ),
                condition=r.id,
            )
        )
    absent = f"No forecast could be made: {', '.join(reasons)}."
    stored = any(r.problems for r in results.sampled)
    return Figure(
        name="extrapolation",
        title="Extrapolation beyond n",
        reading="Dotted: forecasts by a zero-inflated beta-binomial fitted to the counts. The table of errors says "
        "how far such forecasts are off on these data.",
        charts={
            (): Chart(
                x=Axis("k, rollouts per problem", "log"),
                y=SHARE,
                series=tuple(series),
                absent="" if series else absent if stored else NOTHING,
            )
        },
    )
