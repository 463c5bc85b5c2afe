"""From the points of a scan to what should be sampled, and why.

A rule, and not a fit: a few seeds on a few problems can tell a band from a desert, not one good value from the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from esprobe.scan.points import ScanPoint

INERT = 0.9
"""Share of completions equal to the baseline's from which a value is said to change nothing."""

BROKEN = 0.5
"""A value breaks the model where it leaves less than this share of the baseline's well-formed answers."""

ERRORS = 2.0
"""Standard errors by which pass@k must lie above the baseline to count as risen."""

READABLE = 0.1
"""Share of the baseline's answers that must be well formed for a loss of them to tell that the model breaks."""

HALF = 0.5
"""A band holds the values next to the best one that rise at least this share as far."""


@dataclass(frozen=True)
class Advice:
    """What a scan says.

    Attributes:
        band: the values worth sampling, ascending; empty if pass@k rises nowhere.
        best: the value of the band with the highest pass@k.
        breaks_at: the smallest value from which on the model is broken; None if it never is.
        inert_to: the largest value up to which nearly nothing changes; None if every value changes something.
        reasons: sentences.
    """

    band: tuple[float, ...]
    best: float | None
    breaks_at: float | None
    inert_to: float | None
    reasons: tuple[str, ...]


def advise(baseline: ScanPoint, points: Sequence[ScanPoint], name: str) -> Advice:
    """Advice on points of ascending value; ``name`` is what they are values of."""
    broken = [_broken(point, baseline) for point in points]
    whole = broken.count(False) and len(broken) - broken[::-1].index(False)  # points up to the last that is not broken
    inert = 0
    while inert < whole and points[inert].same >= INERT:
        inert += 1
    band = _band(points[:whole])
    breaks_at = points[whole].value if whole < len(points) else None
    inert_to = points[inert - 1].value if inert else None
    best = max(band, key=lambda point: (point.pass_at_k, point.pass_at_1), default=None)
    return Advice(
        band=tuple(point.value for point in band if point.value is not None),
        best=best.value if best else None,
        breaks_at=breaks_at,
        inert_to=inert_to,
        reasons=tuple(_reasons(baseline, points, name, band, best, breaks_at, inert_to)),
    )


def verdict(point: ScanPoint, baseline: ScanPoint, advice: Advice) -> str:
    """One word about a point: broken, inert, band, or nothing."""
    if _broken(point, baseline):
        return "broken"
    if point.value in advice.band:
        return "band"
    return "inert" if point.same >= INERT else ""


def _broken(point: ScanPoint, baseline: ScanPoint) -> bool:
    if baseline.well_formed >= READABLE:
        return point.well_formed < BROKEN * baseline.well_formed
    return point.cut_off > max(baseline.cut_off, BROKEN)  # a model without answers can still lose its end token


def _band(points: Sequence[ScanPoint]) -> list[ScanPoint]:
    """The best point that has risen, and its neighbours on both sides as far as they rise half as much."""
    risen = [i for i, point in enumerate(points) if point.rise > ERRORS * point.rise_se]
    if not risen:
        return []
    best = max(risen, key=lambda i: points[i].rise)
    first = last = best
    while first and first - 1 in risen and points[first - 1].rise >= HALF * points[best].rise:
        first -= 1
    while last + 1 in risen and points[last + 1].rise >= HALF * points[best].rise:
        last += 1
    return list(points[first : last + 1])


def _reasons(
    baseline: ScanPoint,
    points: Sequence[ScanPoint],
    name: str,
    band: Sequence[ScanPoint],
    best: ScanPoint | None,
    breaks_at: float | None,
    inert_to: float | None,
) -> list[str]:
    k = points[0].k
    said = []
    cut_short, silent = baseline.cut_off > BROKEN, baseline.well_formed < READABLE
    if cut_short:
        said.append(
            f"{baseline.cut_off:.1%} of the unperturbed model's greedy completions are cut off at the token limit, "
            f"which hides what a {name} does; scan with a larger --max-tokens"
        )
    if inert_to is not None:
        said.append(
            f"up to {name} {inert_to:g} at least {INERT:.0%} of the completions are the baseline's, word for word"
        )
    if best is not None:
        span = f"{band[0].value:g}" if len(band) == 1 else f"{band[0].value:g} to {band[-1].value:g}"
        said.append(
            f"pass@{k} rises above greedy decoding in the band of {name} {span}: at {best.value:g} it is "
            f"{best.pass_at_k:.1%} against {baseline.pass_at_1:.1%}, a rise of {best.rise:.1%} with a standard error "
            f"of {best.rise_se:.1%}"
        )
    else:
        said.append(
            f"pass@{k} rises above greedy decoding ({baseline.pass_at_1:.1%}) at no {name} of this grid by more than "
            f"{ERRORS:g} standard errors"
            + ("" if cut_short or silent else "; scan more --problems or --samples, or another --range")
        )
    if breaks_at is not None:
        (at,) = (point for point in points if point.value == breaks_at)
        said.append(
            f"the model breaks at {name} {breaks_at:g}: {at.well_formed:.1%} of its answers are well formed, against "
            f"{baseline.well_formed:.1%} of the baseline's, and {at.cut_off:.1%} of its completions are cut off"
        )
    elif cut_short:
        pass  # said above
    elif silent:
        said.append(
            f"only {baseline.well_formed:.1%} of the unperturbed model's answers are well formed, too few to tell at "
            f"which {name} it breaks; scan with another --prompt or a model that answers in the task's form"
        )
    else:
        said.append(f"the model breaks nowhere up to {name} {points[-1].value:g}; a wider --range would show where")
    return said
