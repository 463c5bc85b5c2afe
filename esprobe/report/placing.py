"""Under which heading of a report each figure stands."""

from collections.abc import Sequence

from esprobe.report.charts.model import Figure

CURVES = "pass@k"
DEPTH = "How deep, how reliable, how alike"
SECTION_OF = {
    "pass-at-k": CURVES,
    "summary": CURVES,
    "selection": "The best of many, on problems it was not chosen on",
    "difference": "Differences",
    "overlap": "Whose problems are whose",
    "correct-counts": DEPTH,
    "coverage-depth": DEPTH,
    "cover-at-tau": DEPTH,
    "taxonomy": "What became of rollouts",
    "votes": "Majority vote",
    "extrapolation": "Beyond n",
}
"""A figure whose section a report has no reason to print follows the curves."""


def placed(sections: Sequence[Sequence[str]], figures: Sequence[Figure]) -> list[tuple[Sequence[str], list[Figure]]]:
    """Each section, a list of Markdown lines that begins with its heading, with the figures that stand under it."""
    titles = [section[0].lstrip("# ") for section in sections]
    home = titles.index(CURVES) if CURVES in titles else len(sections) - 1
    found: list[tuple[Sequence[str], list[Figure]]] = [(section, []) for section in sections]
    for figure in figures:
        wanted = SECTION_OF[figure.name]
        found[titles.index(wanted) if wanted in titles else home][1].append(figure)
    return found
