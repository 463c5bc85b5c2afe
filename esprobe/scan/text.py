"""A scan as a table for a terminal, and the sampling command that it suggests."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from esprobe.scan.advice import Advice, verdict
from esprobe.scan.points import ScanPoint
from esprobe.tables import aligned


def as_table(baseline: ScanPoint, points: Sequence[ScanPoint], advice: Advice, name: str) -> str:
    """A line per point, the baseline first, then the reasons for the advice."""
    k = points[0].k
    head = [name, "pass@1", f"pass@{k}", "rise", "well-formed", "cut off", "same", "tokens", ""]
    rows = [_row("greedy", baseline, "")]
    rows += [_row(f"{point.value:g}", point, verdict(point, baseline, advice)) for point in points]
    rows[0][2] = rows[0][3] = "-"
    reasons = [f"{reason[0].upper()}{reason[1:]}." for reason in advice.reasons]
    return "\n".join([*aligned([head, *rows], right=True), "", *reasons]) + "\n"


def next_command(advice: Advice, name: str, database: Path, kept: Sequence[str]) -> str | None:
    """The command that samples the values of the band; None if the band is empty.

    Args:
        advice: what the scan found.
        name: "sigma" or "temperature".
        database: the database of the scan.
        kept: words of the scan's options that the command repeats.
    """
    if not advice.band:
        return None
    command, option = ("sample-perturb", "--sigma") if name == "sigma" else ("sample-temp", "-t")
    values = [word for value in advice.band for word in (option, f"{value:g}")]
    return shlex.join(["esprobe", command, "--db", str(database), *kept, *values])


def _row(label: str, point: ScanPoint, word: str) -> list[str]:
    shares = [point.pass_at_1, point.pass_at_k]
    others = [point.well_formed, point.cut_off, point.same]
    return [
        label,
        *(f"{share:.1%}" for share in shares),
        f"{point.rise:+.1%} ({point.rise_se:.1%})",
        *(f"{share:.1%}" for share in others),
        f"{point.tokens:,.1f}",
        word,
    ]
