"""The best candidates on the selection half and on held-out problems."""

from collections.abc import Sequence

from esprobe.report.charts.curves import SHARE
from esprobe.report.charts.model import Axis, Chart, Figure, Reference, Series, Style
from esprobe.report.charts.style import GREY
from esprobe.report.selection_text import line_label
from esprobe.report.text import count, within
from esprobe.results.results import Results
from esprobe.stats.selection import Chosen, Selection

SELECTION, HELD_OUT = Style("#E69F00", marker="triangle"), Style("#0072B2", marker="circle")
MEAN = Style(GREY, marker="cross")


def selection(results: Results) -> Figure:
    """Each winner on the half it was selected on and on the held-out half."""
    made = results.selection
    chosen = [] if made is None else _chosen(results, made)
    lines = () if made is None else made.lines
    return Figure(
        name="selection",
        title="Best condition on held-out problems",
        reading="Each winner was selected on one half of the problems and judged on the other. The distance between "
        "triangle and circle is the optimism of the selection; grey lines are levels to compare a single perturbation "
        "with.",
        charts={
            (): Chart(
                x=Axis("winner", "category"),
                y=SHARE,
                kind="points",
                series=_series(chosen) if chosen else (),
                references=tuple(Reference(line_label(line), line.estimate, Style(GREY, "dot")) for line in lines),
                absent="" if chosen else "There was nothing to select among: see the notes of the verdict.",
            )
        },
    )


def _series(chosen: Sequence[tuple[str, Chosen]]) -> tuple[Series, ...]:
    names = tuple(name for name, _ in chosen)
    selection_half = Series(
        label="selection half (biased upwards)",
        style=SELECTION,
        x=names,
        y=tuple(c.selection_score for _, c in chosen),
        words=tuple(f"{name}: selection half {within(c.selection_score, None, None)}" for name, c in chosen),
    )
    held_out = Series(
        label="held-out half",
        style=HELD_OUT,
        x=names,
        y=tuple(c.estimate for _, c in chosen),
        low=tuple(c.ci_low for _, c in chosen),
        high=tuple(c.ci_high for _, c in chosen),
        words=tuple(f"{name}: held-out half {within(c.estimate, c.ci_low, c.ci_high)}" for name, c in chosen),
    )
    mean = Series(
        label="mean of all candidates, held-out half",
        style=MEAN,
        x=names,
        y=tuple(c.mean for _, c in chosen),
        words=tuple(
            f"{name}: {count(c.candidates)} candidates, mean {within(c.mean, None, None)}" for name, c in chosen
        ),
    )
    return selection_half, held_out, mean


def _chosen(results: Results, made: Selection) -> list[tuple[str, Chosen]]:
    found = []
    if made.perturbation is not None:
        c = made.perturbation
        found.append((f"perturbation {c.seed} of {results.labels[c.condition]}, k = 1", c))
    for what, several in (("temperature", made.temperatures), ("sigma", made.sigmas)):
        found += [(f"best {what} at k = {count(c.k)}: {results.labels[c.condition]}", c) for c in several]
    return found
