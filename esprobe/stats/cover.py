"""cover@tau: the share of problems that are solved reliably (Dragoi et al. 2025, arXiv:2510.08325)."""

from dataclasses import dataclass

TAUS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class CoverPoint:
    """The share of problems whose chance of a correct rollout is at least tau.

    pass@k at a large k counts a problem that is solved once in a thousand rollouts; this counts it only if its
    chance is worth something.

    Attributes:
        tau: the least chance.
        observed: share of problems with c/n >= tau.
        estimate: expected share of problems with chance >= tau, given all counts: the noise of c/n taken out by
            the posterior of a zero-inflated beta-binomial; None where that cannot be fitted.
    """

    tau: float
    observed: float
    estimate: float | None
