"""A scan as a figure, with matplotlib (extra ``plot``)."""

from collections.abc import Sequence
from pathlib import Path

from esprobe.errors import UsageError
from esprobe.paths import check_output, kind_of
from esprobe.scan.advice import Advice
from esprobe.scan.points import ScanPoint

_MARGIN = 1.15
"""Factor by which the band is widened on both sides, so that a band of one value is visible."""


def check_figure(path: Path) -> None:
    """Check that a figure can be drawn, before hours are spent on sampling.

    Raises:
        UsageError: matplotlib is not installed, it cannot write this file format, or the folder does not exist.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise UsageError(
            f"--figure {path} needs matplotlib, which is not installed; install it in a checkout of esprobe "
            f"with: pip install '.[plot]'"
        ) from err
    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:] not in formats:
        raise UsageError(
            f"--figure must be a file name such as scan.png, got {path}; the ending must be one of {', '.join(formats)}"
        )
    if kind_of(path.parent) != "folder":
        raise UsageError(
            f"--figure {path} cannot be written: there is no folder {path.parent}; create it, or use another"
        )
    check_output(path, "the figure", "name another place with --figure")


def draw_figure(path: Path, baseline: ScanPoint, points: Sequence[ScanPoint], advice: Advice, name: str) -> None:
    """Write two panels over the scanned values: pass@1 and pass@k above, shares of completions below."""
    from matplotlib.figure import Figure

    values = [point.value for point in points if point.value is not None]
    figure = Figure(figsize=(7, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(values, [point.pass_at_1 for point in points], marker="o", label="pass@1")
    above.errorbar(
        values,
        [point.pass_at_k for point in points],
        yerr=[2 * point.rise_se for point in points],
        marker="s",
        capsize=3,
        label=f"pass@{points[0].k} (2 standard errors of its rise)",
    )
    above.axhline(baseline.pass_at_1, color="gray", linestyle="--", label="greedy")
    above.set_ylabel("share of problems")
    for label, marker, shares in (
        ("well-formed", "o", [point.well_formed for point in points]),
        ("cut off", "s", [point.cut_off for point in points]),
        ("same as greedy", "^", [point.same for point in points]),
    ):
        below.plot(values, shares, marker=marker, label=label)
    below.set_ylabel("share of completions")
    below.set_ylim(-0.03, 1.03)
    below.set_xscale("log")
    below.set_xlabel(name)
    for axes in (above, below):
        if advice.band:
            axes.axvspan(advice.band[0] / _MARGIN, advice.band[-1] * _MARGIN, alpha=0.15, color="green", label="band")
        if advice.breaks_at is not None:
            axes.axvline(advice.breaks_at, color="red", linestyle=":", label="breaks")
        axes.legend(fontsize="small")
    figure.savefig(path)
