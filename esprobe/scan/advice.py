"""From the points of a scan to the values that should be sampled, and why.

The rule is coarse on purpose: a few seeds on a few problems can tell where pass@k rises, not which value is best.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from esprobe.scan.points import ScanPoint

INERT = 0.9
"""Share of completions identical to the baseline's from which a value counts as inert."""

BROKEN = 0.5
"""A value breaks the model if the share of well-formed answers falls below this fraction of the baseline's."""

ERRORS = 2.0
"""Standard errors by which pass@k must exceed the baseline to count as a rise."""

READABLE = 0.1
"""Least share of well-formed baseline answers for which a loss of them shows that the model breaks."""

HALF = 0.5
"""A band contains the neighbours of the best value that rise at least this fraction of its rise."""


@dataclass(frozen=True)
class Advice:
    """The result of a scan.

    Attributes:
        band: the values worth sampling, ascending; empty if pass@k rises nowhere.
        best: the value of the band with the highest pass@k; None if the band is empty.
        breaks_at: the smallest value from which on the model is always broken; None if there is none.
        inert_to: the largest value up to which completions hardly change; None if there is none.
        reasons: sentences that explain it.
    """

    band: tuple[float, ...]
    best: float | None
    breaks_at: float | None
    inert_to: float | None
    reasons: tuple[str, ...]


def advise(baseline: ScanPoint, points: Sequence[ScanPoint], name: str) -> Advice:
    """Advice on points in ascending order of value; ``name`` is "sigma" or "temperature"."""
    broken = [_broken(point, baseline) for point in points]
    # Number of points up to the last one that is not broken.
    whole = broken.count(False) and len(broken) - broken[::-1].index(False)
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
    """The label of a point: "broken", "band", "inert", or ""."""
    if _broken(point, baseline):
        return "broken"
    if point.value in advice.band:
        return "band"
    return "inert" if point.same >= INERT else ""


def _broken(point: ScanPoint, baseline: ScanPoint) -> bool:
    if baseline.well_formed >= READABLE:
        return point.well_formed < BROKEN * baseline.well_formed
    # A model without readable answers is broken if it no longer ends its completions.
    return point.cut_off > max(baseline.cut_off, BROKEN)


def _band(points: Sequence[ScanPoint]) -> list[ScanPoint]:
    """The point with the largest significant rise, and its neighbours that rise at least half as much."""
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
) -> Iterator[str]:
    if baseline.cut_off > BROKEN:
        yield (
            f"{baseline.cut_off:.1%} of the unperturbed model's greedy completions are cut off at the token limit, "
            f"which hides the effect of the {name}; scan with a larger --max-tokens"
        )
    if inert_to is not None:
        yield f"up to {name} {inert_to:g} at least {INERT:.0%} of the completions are identical to the baseline's"
    yield _rise(baseline, points[0].k, name, band, best)
    if breaks_at is not None:
        (at,) = (point for point in points if point.value == breaks_at)
        yield (
            f"the model breaks at {name} {breaks_at:g}: {at.well_formed:.1%} of its answers are well formed, against "
            f"{baseline.well_formed:.1%} of the baseline's, and {at.cut_off:.1%} of its completions are cut off"
        )
    elif baseline.cut_off > BROKEN:
        return  # reported above
    elif baseline.well_formed < READABLE:
        yield (
            f"only {baseline.well_formed:.1%} of the unperturbed model's answers are well formed, too few to tell at "
            f"which {name} it breaks; scan with another --prompt or a model that answers in the task's format"
        )
    else:
        yield f"the model breaks nowhere up to {name} {points[-1].value:g}; use a wider --range to see where it does"


def _rise(baseline: ScanPoint, k: int, name: str, band: Sequence[ScanPoint], best: ScanPoint | None) -> str:
    if best is not None:
        span = f"{band[0].value:g}" if len(band) == 1 else f"{band[0].value:g} to {band[-1].value:g}"
        return (
            f"pass@{k} rises above greedy decoding in the band of {name} {span}: at {best.value:g} it is "
            f"{best.pass_at_k:.1%} against {baseline.pass_at_1:.1%}, a rise of {best.rise:.1%} with a standard error "
            f"of {best.rise_se:.1%}"
        )
    uninformative = baseline.cut_off > BROKEN or baseline.well_formed < READABLE
    return (
        f"pass@{k} rises above greedy decoding ({baseline.pass_at_1:.1%}) at no {name} of this grid by more than "
        f"{ERRORS:g} standard errors"
        + ("" if uninformative else "; scan more --problems or --samples, or another --range")
    )
