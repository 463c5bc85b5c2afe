"""The best of many, and what the choice alone feigns."""

from esprobe.report.charts.curves import SHARE
from esprobe.report.charts.model import Axis, Chart, Figure, Reference, Series, Style
from esprobe.report.charts.style import GREY
from esprobe.report.text import count, within
from esprobe.results.results import Results
from esprobe.stats.selection import Chosen, Selection

LOOKED, JUDGED = Style("#E69F00", marker="triangle"), Style("#0072B2", marker="circle")
AVERAGE = Style(GREY, marker="cross")


def selection(results: Results) -> Figure:
    """What the winners looked like where they were chosen, and what they are where they were not."""
    made = results.selection
    chosen = [] if made is None else _chosen(results, made)
    x = Axis("chosen", "category")
    absent = "" if chosen else "There was nothing to choose among: see the words above."
    names = tuple(name for name, _ in chosen)
    looked = Series(
        label="where it was chosen (too high)",
        style=LOOKED,
        x=names,
        y=tuple(c.looked for _, c in chosen),
        words=tuple(f"{name}: looked like {within(c.looked, None, None)}" for name, c in chosen),
    )
    judged = Series(
        label="on problems no choice has seen",
        style=JUDGED,
        x=names,
        y=tuple(c.estimate for _, c in chosen),
        low=tuple(c.ci_low for _, c in chosen),
        high=tuple(c.ci_high for _, c in chosen),
        words=tuple(f"{name}: is {within(c.estimate, c.ci_low, c.ci_high)}" for name, c in chosen),
    )
    average = Series(
        label="mean of all candidates there",
        style=AVERAGE,
        x=names,
        y=tuple(c.average for _, c in chosen),
        words=tuple(
            f"{name}: {count(c.candidates)} candidates, mean {within(c.average, None, None)}" for name, c in chosen
        ),
    )
    lines = (
        () if made is None else tuple(Reference(line.label, line.estimate, Style(GREY, "dot")) for line in made.lines)
    )
    return Figure(
        name="selection",
        title="The best of many, chosen and judged",
        reading="Each winner was chosen on one half of the problems and judged on the other. The distance between "
        "triangle and circle is the optimism of choosing; grey lines are levels to compare a single perturbation with.",
        charts={
            (): Chart(
                x=x, y=SHARE, kind="points", series=(looked, judged, average) if chosen else (), references=lines,
                absent=absent,
            )
        },
    )  # fmt: skip


def _chosen(results: Results, made: Selection) -> list[tuple[str, Chosen]]:
    found = []
    if made.perturbation is not None:
        c = made.perturbation
        found.append((f"perturbation {c.seed} of {results.labels[c.condition]}, k = 1", c))
    for what, several in (("temperature", made.temperatures), ("sigma", made.sigmas)):
        found += [(f"best {what} at k = {count(c.k)}: {results.labels[c.condition]}", c) for c in several]
    return found
