"""``report --format csv``: every estimate of the report as one long table, for a spreadsheet or a data frame."""

import csv
import io
from collections.abc import Iterator

from esprobe.results.detail import Comparison, Detail
from esprobe.results.results import Results
from esprobe.safe_text import csv_text
from esprobe.stats.curve import Curve

COLUMNS = ("quantity", "condition", "against", "group", "at", "estimate", "ci_low", "ci_high")

Row = tuple[object, ...]


def as_report_csv(results: Results) -> str:
    """One line per estimate; an empty field where there is no value.

    ``quantity`` says what it is and ``at`` its k, tau or word; ``against`` is what a difference is taken from.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(results))
    return buffer.getvalue()


def _rows(results: Results) -> Iterator[Row]:
    for r in results.conditions:
        label = csv_text(results.labels[r.id])
        yield from _curve("pass@k", label, "all", r.curve)
        for part in r.by_group:
            yield from _curve("pass@k", label, csv_text(part.group), part.curve)
        if r.detail is not None:
            yield from _detail(label, r.detail)
    for null in results.nulls:
        yield from _curve("null", csv_text(null.label), "all", null.curve)
        for part in null.by_group:
            yield from _curve("null", csv_text(null.label), csv_text(part.group), part.curve)
    for pair in (*results.against_null, *results.pairs):
        yield from _difference(pair)


def _curve(quantity: str, label: str, group: str, curve: Curve) -> Iterator[Row]:
    for p in curve.points:
        yield (quantity, label, None, group, p.k, p.estimate, p.ci_low, p.ci_high)


def _detail(label: str, detail: Detail) -> Iterator[Row]:
    for point in detail.cover:
        yield ("cover@tau, c/n", label, None, "all", point.tau, point.observed, None, None)
        if point.estimate is not None:
            yield ("cover@tau", label, None, "all", point.tau, point.estimate, None, None)
    for vote in detail.vote.points if detail.vote is not None else ():
        yield ("maj@k", label, None, "all", vote.k, vote.estimate, vote.ci_low, vote.ci_high)
    for forecast in detail.extrapolation.forecasts if detail.extrapolation is not None else ():
        yield ("forecast", label, None, "all", forecast.k, forecast.estimate, forecast.ci_low, forecast.ci_high)
    taxonomy = detail.taxonomy
    for fate in taxonomy.fates:
        for group, part, whole in zip(taxonomy.groups, fate.by_group, taxonomy.group_rollouts, strict=True):
            yield ("share of rollouts", label, None, csv_text(group), csv_text(fate.word), part / whole, None, None)


def _difference(pair: Comparison) -> Iterator[Row]:
    names = csv_text(pair.label_b), csv_text(pair.label_a)
    for p in pair.difference.points:
        yield ("difference", *names, "all", p.k, p.estimate, p.ci_low, p.ci_high)
