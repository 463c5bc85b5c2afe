"""What each figure shows, as plain values. Does not know which library draws it."""

from esprobe.report.charts.beyond import extrapolation
from esprobe.report.charts.choosing import selection
from esprobe.report.charts.curves import pass_at_k
from esprobe.report.charts.fates import taxonomy, votes
from esprobe.report.charts.model import Figure
from esprobe.report.charts.pairs import difference, overlap
from esprobe.report.charts.summary import bars, counts, cover, depth
from esprobe.results.results import Results

MAKERS = (
    pass_at_k, bars, counts, depth, cover, difference, overlap, selection, taxonomy, votes, extrapolation,
)  # fmt: skip


def figures(results: Results) -> tuple[Figure, ...]:
    """Every figure of a report, in the order in which they are read; those without data say so in words."""
    return tuple(make(results) for make in MAKERS)
