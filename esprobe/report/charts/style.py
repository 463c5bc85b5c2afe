"""Colours, lines and markers, the same in every figure.

Colours are those of Okabe and Ito (2008) that show on white and on black, with a violet and a brown of the same kind.
The arms differ in more than colour: token space has solid lines, weight space dashed ones, what needs no model dotted
ones, and within an arm each condition has a marker of its own.
"""

from collections.abc import Mapping
from dataclasses import replace

from esprobe.report.charts.model import Dash, Style
from esprobe.results.results import Results
from esprobe.spec import Kind

COOL = ("#0072B2", "#56B4E9", "#009E73", "#7570B3")
WARM = ("#D55E00", "#E69F00", "#CC79A7", "#A6761D")
GREY = "#8A8A8A"
HATCHED: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")
_PART_COLOURS = ("#009E73", "#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9", "#A6761D", "#7570B3")
PARTS = tuple(Style(colour, HATCHED[place % 4]) for place, colour in enumerate(_PART_COLOURS))
"""For the parts of a whole, in their order; neighbours differ in hatching too."""

MARKERS = ("circle", "square", "triangle", "cross", "diamond", "star", "pentagon", "hexagon")
NULL = Style("", "dot")
GREEDY = Style(GREY, "dashdot", "circle")
GREEDY_DASHES: tuple[Dash, ...] = (GREEDY.dash, "dash", "solid")
"""Of the first model's baselines, the second one's, the third one's."""
TRAINED_GREEDY = Style("", "dashdot", "star", bold=True)
PUBLISHED = Style(GREY, "dot")


def styles(results: Results) -> Mapping[int, Style]:
    """The style of every condition, by id; those of a trained model are bold."""
    found: dict[int, Style] = {}
    arms: tuple[tuple[Kind, tuple[str, ...], Dash, int], ...] = (
        (Kind.TEMPERATURE, COOL, "solid", 0),
        (Kind.PERTURBATION, WARM, "dash", len(COOL)),
        # Imported rollouts, of unknown decoding: the other colours in reverse order, and a line style of their own.
        (Kind.IMPORTED, (*WARM[::-1], *COOL[::-1]), "dashdot", 1),
    )
    for kind, colours, dash, offset in arms:
        for place, result in enumerate(r for r in results.sampled if r.kind == kind):
            # Colours come again after four conditions, with other markers.
            marker = MARKERS[(offset + place + place // len(colours)) % len(MARKERS)]
            found[result.id] = Style(colours[place % len(colours)], dash, marker)
    trained = None if results.roles is None else results.roles.trained.fingerprint
    models = list(dict.fromkeys(result.condition.model_fingerprint for result in results.greedy))
    for result in results.greedy:
        model = result.condition.model_fingerprint
        of_model = replace(GREEDY, dash=GREEDY_DASHES[models.index(model) % len(GREEDY_DASHES)])
        found[result.id] = TRAINED_GREEDY if model == trained else of_model
    for result in results.sampled:
        if result.condition.model_fingerprint == trained:
            found[result.id] = replace(found[result.id], bold=True)
    return found
