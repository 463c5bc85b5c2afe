"""Effective number of independent draws of a condition."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.outcomes import Outcomes

_BLOCK = 256


@dataclass(frozen=True)
class Independence:
    """Correlation between the draws of a condition.

    Attributes:
        draws: S, seeds that every problem has.
        correlation: rho, mean over pairs of draws of the correlation of their verdicts over problems; problems
            that are easy or hard for every draw raise it. None if it is undefined, see ``note``.
        effective: n_eff = S / (1 + (S - 1) rho), independent draws with as much information; None likewise.
        note: why ``correlation`` is None; None otherwise.
    """

    draws: int
    correlation: float | None
    effective: float | None
    note: Literal["one problem", "one draw", "no draw varies"] | None = None


def independence(outcomes: Outcomes) -> Independence:
    """Correlation between draws, over the seeds that every problem has.

    With z_is the verdicts of seed s standardised over problems, the sum over all pairs of correlations is the mean
    over problems of (sum_s z_is)^2, so pairs need not be enumerated.
    """
    whole = np.flatnonzero(outcomes.stored.all(axis=0)) if outcomes.problems else np.zeros(0, np.int64)
    draws = len(whole)
    if outcomes.problems < 2:
        return Independence(draws, None, None, "one problem")
    if draws < 2:
        return Independence(draws, None, None, "one draw")
    totals = np.zeros(outcomes.problems)
    varying = 0
    for start in range(0, draws, _BLOCK):
        block: NDArray[np.float64] = outcomes.correct[:, whole[start : start + _BLOCK]].astype(np.float64)
        block = block[:, np.ptp(block, axis=0) > 0]
        varying += block.shape[1]
        totals += ((block - block.mean(axis=0)) / block.std(axis=0)).sum(axis=1)
    if varying < 2:
        return Independence(draws, None, None, "no draw varies")
    correlation = float((totals**2).mean() - varying) / (varying * (varying - 1))
    # A negative correlation is chance: draws are worth no more than their number.
    effective = draws / max(1.0, 1 + (draws - 1) * correlation)
    return Independence(draws, correlation, effective)
