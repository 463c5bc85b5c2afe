"""Under which heading of a report each figure stands."""

from collections.abc import Sequence

from esprobe.report.charts.model import Figure

CURVES = "pass@k"
SECTION_OF = {
    "pass-at-k": CURVES,
    "summary": CURVES,
}
"""Figures that are not named here, or whose section a report has no reason to print, follow the curves."""


def placed(sections: Sequence[Sequence[str]], figures: Sequence[Figure]) -> list[tuple[Sequence[str], list[Figure]]]:
    """Each section, a list of Markdown lines that begins with its heading, with the figures that stand under it."""
    titles = [section[0].lstrip("# ") for section in sections]
    home = titles.index(CURVES) if CURVES in titles else len(sections) - 1
    found: list[tuple[Sequence[str], list[Figure]]] = [(section, []) for section in sections]
    for figure in figures:
        wanted = SECTION_OF.get(figure.name, CURVES)
        found[titles.index(wanted) if wanted in titles else home][1].append(figure)
    return found
