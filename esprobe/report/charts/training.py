"""Training against selection over what both spent, and accuracy on training problems against test problems."""

import math
from collections.abc import Callable, Iterator, Sequence

from esprobe.report.charts.curves import SHARE
from esprobe.report.charts.model import Axis, Chart, Choice, Figure, Reference, Series, Style
from esprobe.report.charts.style import GREEDY
from esprobe.report.text import count, within
from esprobe.report.training_selection_text import title
from esprobe.results.results import Results
from esprobe.results.training_selection import Spent, TrainingSelection
from esprobe.stats.training_contrast import Estimate

Amount = Callable[[Spent], float | None]

AXES: tuple[tuple[str, Amount], ...] = (
    ("rollouts", lambda spent: spent.rollouts),
    ("generated tokens", lambda spent: spent.tokens),
    ("engine-seconds", lambda spent: spent.seconds),
)
MOST_TICKS = 8
TRAINED = Style("#0072B2", "solid", "circle")
SELECTED = Style("#D55E00", "dash")
VOTING = (
    Style("#E69F00", "dot", "triangle"),
    Style("#CC79A7", "dot", "square"),
    Style("#A6761D", "dot", "diamond"),
)
ON_TRAINING, SEEMS = Style("#56B4E9", "dashdot"), Style("#E69F00", "dot")
TEMPERATURES = (Style("#009E73", "dashdot"), Style("#009E73", "dot"))


def against_selection(results: Results) -> Figure:
    """Accuracy on test problems of trained models, of the best of n perturbations and of votes, over what was spent."""
    return _figure(
        results,
        name="training-against-selection",
        heading="Training against selection at equal cost",
        reading="Accuracy on test problems over what was spent on training problems, with 95 % intervals. Dashed: the "
        "best of n random perturbations of the base by training fitness, an expectation over which n were seen; "
        "dotted: the K best of n voting. Lines across need no training.",
        series=_against_selection,
        levels=True,
    )


def against_test(results: Results) -> Figure:
    """What training and selection reach on training problems, beside what they reach on test problems."""
    return _figure(
        results,
        name="training-against-test",
        heading="Accuracy on training problems against test problems",
        reading="The population is perturbed and the trained model is not, so compare how they rise. The distance "
        "between what the best of n seems to solve, on the training problems by which it was selected, and what it "
        "solves on test problems is the optimism of selection.",
        series=_against_test,
        levels=False,
    )


def _figure(
    results: Results,
    *,
    name: str,
    heading: str,
    reading: str,
    series: Callable[[TrainingSelection, Amount], Iterator[Series]],
    levels: bool,
) -> Figure:
    charts: dict[tuple[int, ...], Chart] = {}
    for number, made in enumerate(results.training_selection):
        for axis, (unit, amount) in enumerate(AXES):
            drawn = tuple(one for one in series(made, amount) if one.x)
            charts[number, axis] = Chart(
                x=Axis(f"{unit} spent on training problems", "log", ticks=_ticks(drawn) if drawn else ()),
                y=SHARE,
                series=drawn,
                references=tuple(_levels(made)) if levels else (),
                absent="" if drawn else f"No trained model was evaluated on test problems, or no {unit} were recorded.",
            )
    runs = Choice("Training", tuple(title(made) for made in results.training_selection))
    return Figure(
        name=name,
        title=heading,
        reading=reading,
        charts=charts,
        choices=(runs, Choice("Horizontal axis", tuple(unit for unit, _ in AXES))),
        filed=tuple((number, 0) for number in range(len(results.training_selection))),
    )


def _against_selection(made: TrainingSelection, amount: Amount) -> Iterator[Series]:
    votes = () if made.perturbations is None else made.perturbations.votes
    for style, voters in zip(VOTING, sorted({vote.voters for vote in votes}), strict=False):
        # Without their bands, under which the others would not be seen; the table has them.
        own = [(v.spent, Estimate(v.accuracy.estimate), f"of {count(v.n)}") for v in votes if v.voters == voters]
        yield _series(f"{voters} best of n voting", style, amount, own)
    best_of = () if made.perturbations is None else made.perturbations.best_of
    seen = [(best.spent, best.accuracy, f"best of {best.n:g}") for best in best_of]
    yield _series("best of n perturbations", SELECTED, amount, seen)
    yield _trained(made, amount)


def _against_test(made: TrainingSelection, amount: Amount) -> Iterator[Series]:
    yield _series(
        "population, training problems",
        ON_TRAINING,
        amount,
        [
            (one.spent, Estimate(one.accuracy), f"population {one.iteration}, fitness {one.fitness:.3f}")
            for one in made.populations
        ],
    )
    best_of = () if made.perturbations is None else made.perturbations.best_of
    for label, style, values in (
        ("best of n, training problems", SEEMS, [Estimate(one.training_accuracy) for one in best_of]),
        ("best of n, test problems", SELECTED, [one.accuracy for one in best_of]),
    ):
        named = zip(best_of, values, strict=True)
        yield _series(label, style, amount, [(one.spent, value, f"best of {one.n:g}") for one, value in named])
    yield _trained(made, amount)


def _trained(made: TrainingSelection, amount: Amount) -> Series:
    points = [(one.spent, one.accuracy, f"iteration {count(one.iteration)}") for one in made.trained]
    return _series("trained model, test problems", TRAINED, amount, points)


def _series(label: str, style: Style, amount: Amount, points: Sequence[tuple[Spent, Estimate, str]]) -> Series:
    """A line through the points whose cost is known, and not too small to be measured."""
    known = [(cost, value, name) for spent, value, name in points if (cost := amount(spent))]
    bounded = any(value.ci_low is not None for _, value, _ in known)
    return Series(
        label=label,
        style=style,
        x=tuple(cost for cost, _, _ in known),
        y=tuple(value.estimate for _, value, _ in known),
        low=tuple(value.ci_low for _, value, _ in known) if bounded else (),
        high=tuple(value.ci_high for _, value, _ in known) if bounded else (),
        words=tuple(
            f"{label}, {name}: {within(value.estimate, value.ci_low, value.ci_high)} for {cost:,.4g}"
            for cost, value, name in known
        ),
    )


def _levels(made: TrainingSelection) -> Iterator[Reference]:
    if made.base is not None:
        yield Reference("base, greedy", made.base.estimate, GREEDY)
    for style, level in zip(TEMPERATURES, made.levels, strict=False):
        yield Reference(f"base, {level.label}, pass@{level.k}", level.accuracy.estimate, style)


def _ticks(series: Sequence[Series]) -> tuple[float, ...]:
    """1, 2 and 5 times powers of ten within the lines; without 2 and 5 if those were too many."""
    spent = [float(x) for one in series for x in one.x]
    low, high = math.floor(math.log10(max(min(spent), 1e-9))), math.ceil(math.log10(max(spent)))
    for steps in ((1, 2, 5), (1,)):
        found = [step * 10.0**power for power in range(low, high + 1) for step in steps]
        inside = tuple(tick for tick in found if min(spent) <= tick <= max(spent))
        if len(inside) <= MOST_TICKS:
            break
    return inside
