"""cover@tau: the share of problems that are solved reliably (Dragoi et al. 2025, arXiv:2510.08325)."""

from dataclasses import dataclass

import numpy as np

from esprobe.stats.betafit import fit_counts
from esprobe.stats.outcomes import Outcomes

TAUS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class CoverPoint:
    """The share of problems whose chance of a correct rollout is at least tau.

    pass@k at a large k counts a problem that is solved once in a thousand rollouts; this counts it only if its
    chance is at least tau.

    Attributes:
        tau: the least chance.
        observed: share of problems with c/n >= tau.
        estimate: expected share of problems with chance >= tau, given all counts: the noise of c/n taken out by
            the posterior of a zero-inflated beta-binomial; None where that cannot be fitted.
    """

    tau: float
    observed: float
    estimate: float | None


def cover_curve(outcomes: Outcomes) -> tuple[CoverPoint, ...]:
    """cover@tau for every tau of ``TAUS``; no points without problems."""
    n, c = outcomes.n, outcomes.c
    if not outcomes.problems:
        return ()
    # Whole numbers against a float times whole numbers: 3/10 counts as 0.3, rounding aside.
    observed = [float((c >= tau * n * (1 - 1e-12)).mean()) for tau in TAUS]
    if outcomes.n_min < 2 or not c.any() or (c == n).all():
        return tuple(CoverPoint(tau, seen, None) for tau, seen in zip(TAUS, observed, strict=True))
    fit = fit_counts(n, c)
    cells, weights = np.unique(np.stack([n, c]), axis=1, return_counts=True)
    estimates = [float(weights @ fit.at_least(tau, cells[0], cells[1]) / c.size) for tau in TAUS]
    return tuple(CoverPoint(*point) for point in zip(TAUS, observed, estimates, strict=True))
