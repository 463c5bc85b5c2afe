"""The sections of a report: the one place that names the heading, the text and the figures of each."""

from collections.abc import Callable
from dataclasses import dataclass

from esprobe.report.charts.beyond import extrapolation
from esprobe.report.charts.choosing import selection
from esprobe.report.charts.curves import pass_at_k
from esprobe.report.charts.fates import taxonomy, votes
from esprobe.report.charts.gain import training_gain
from esprobe.report.charts.model import Drawn, Figure
from esprobe.report.charts.pairs import difference, overlap
from esprobe.report.charts.summary import bars, counts, cover, depth
from esprobe.report.charts.training import against_selection, against_test
from esprobe.report.contrast_text import null_section, overlap_section, pairs_section
from esprobe.report.curve_text import curves_section, published_section
from esprobe.report.detail_text import (
    cost_section,
    depth_section,
    extrapolation_section,
    taxonomy_section,
    vote_section,
)
from esprobe.report.gain_text import gain_section
from esprobe.report.run_text import (
    incomplete_section,
    intervals_section,
    length_section,
    provenance_section,
    setup_section,
)
from esprobe.report.selection_text import selection_section
from esprobe.report.training_selection_text import training_selection_section
from esprobe.report.verdict_text import verdict_section
from esprobe.results.results import Results
from esprobe.safe_text import markdown


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes:
        heading: its title.
        text: makes its lines in Markdown; no lines leave the section out.
        figures: make its figures; None leaves one out.
        optional: whether its figures are left out where it has no text; others then say in words why they are empty.
    """

    heading: str
    text: Callable[[Results], list[str]]
    figures: tuple[Callable[[Results], Figure | None], ...] = ()
    optional: bool = False


CURVES = Section("pass@k", curves_section, (pass_at_k, bars))

SECTIONS = (
    Section("Verdict", verdict_section),
    Section("What training adds to the base", gain_section, (training_gain,), optional=True),
    Section("Setup", setup_section),
    CURVES,
    Section("Training against selection", training_selection_section, (against_selection, against_test), optional=True),
    Section("Margin over random guessing", null_section),
    Section("Best condition on held-out problems", selection_section, (selection,)),
    Section("Differences", pairs_section, (difference,)),
    Section("Overlap of solved problems", overlap_section, (overlap,)),
    Section("Coverage, reliability, diversity", depth_section, (counts, depth, cover)),
    Section("Failure breakdown", taxonomy_section, (taxonomy,)),
    Section("Majority vote", vote_section, (votes,)),
    Section("Cost", cost_section),
    Section("Extrapolation beyond n", extrapolation_section, (extrapolation,)),
    Section("Published points to compare with", published_section),
    Section("What is incomplete", incomplete_section),
    Section("Length and cut-off", length_section),
    Section("How intervals were made", intervals_section),
    Section("Provenance", provenance_section),
)
"""In the order of a report. To add a section, write its text and figures and name them here."""


@dataclass(frozen=True)
class Part:
    """One printed section.

    Attributes:
        heading: in Markdown, with its number signs.
        lines: its text in Markdown.
        figures: those that stand above the text.
    """

    heading: str
    lines: list[str]
    figures: tuple[Figure, ...] = ()

    @property
    def title(self) -> str:
        """The heading as plain text."""
        return self.heading.lstrip("# ")


def figures_by_section(results: Results) -> Drawn:
    """Every figure by the heading of its section; figures without data say so in words."""
    shown = [section for section in SECTIONS if not section.optional or section.text(results)]
    made = {section.heading: [make(results) for make in section.figures] for section in shown}
    return {heading: [figure for figure in figures if figure is not None] for heading, figures in made.items()}


def arranged(results: Results, drawn: Drawn) -> list[Part]:
    """The title, then every section with text; figures of sections without text follow the curves'.

    Args:
        results: all numbers.
        drawn: figures to show, as ``figures_by_section`` makes them.
    """
    texts = {section.heading: section.text(results) for section in SECTIONS}
    moved = tuple(figure for heading, figures in drawn.items() if not texts[heading] for figure in figures)
    has_curves = bool(texts[CURVES.heading])
    parts = [
        Part(
            heading=f"# pass@k on {markdown(results.task)}",
            lines=[] if results.conditions else ["Nothing is stored yet."],
            figures=() if has_curves else moved,
        )
    ]
    for section in SECTIONS:
        if lines := texts[section.heading]:
            figures = (*drawn.get(section.heading, ()), *(moved if section is CURVES else ()))
            parts.append(Part(f"## {section.heading}", lines, figures))
    return parts
