"""A zero-inflated beta-binomial for correct counts: a Beta over problems, and a share of problems never solved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esprobe.stats.beta import beta_cdf
from esprobe.stats.minimise import minimise

_STARTS = ((-1.0, 1.0, -1.0), (-2.0, 3.0, 0.0), (0.5, 0.5, -3.0))
"""log alpha, log beta, logit pi: chances rare, very rare, and spread over the whole range."""

_FARTHEST = 12.0
"""Bound of each of the three: beyond it the fit hardly changes."""


@dataclass(frozen=True)
class BetaFit:
    """c_i ~ (1 - pi) BetaBinomial(n_i; alpha, beta) + pi delta_0, by maximum likelihood.

    Attributes:
        alpha: of the Beta from which the chances of solvable problems come.
        beta: likewise.
        never: pi, the share of problems that no number of rollouts solves.
    """

    alpha: float
    beta: float
    never: float

    def pass_at(self, ks: Sequence[int]) -> NDArray[np.float64]:
        """(K,) (1 - pi) (1 - B(alpha, beta + k) / B(alpha, beta)), for any k (Kazdan et al. 2025)."""
        j = np.arange(max(ks), dtype=np.float64)
        missed = np.cumsum(np.log1p(-self.alpha / (self.alpha + self.beta + j)))
        reached: NDArray[np.float64] = -(1 - self.never) * np.expm1(missed[np.array(ks) - 1])
        return reached

    def at_least(self, tau: float, n: NDArray[np.int64], c: NDArray[np.int64]) -> NDArray[np.float64]:
        """(P,) posterior chance that a problem with c of n correct has a chance of at least tau > 0."""
        right, wrong = self.alpha + c.astype(np.float64), self.beta + (n - c).astype(np.float64)
        above = 1 - beta_cdf(tau, right, wrong)
        j = np.arange(int(n.max()), dtype=np.float64)
        missed = np.exp(np.cumsum(np.log1p(-self.alpha / (self.alpha + self.beta + j))))[n - 1]
        solvable = (1 - self.never) * missed
        return np.where(c > 0, above, above * solvable / np.maximum(solvable + self.never, 1e-300))


def fit_counts(n: NDArray[np.int64], c: NDArray[np.int64], near: BetaFit | None = None) -> BetaFit:
    """The maximum likelihood fit to counts.

    Args:
        n: (P,) rollouts of each problem.
        c: (P,) correct ones among them.
        near: a fit to similar counts, from which one start is enough.

    Raises:
        ValueError: there is no correct rollout, or no wrong one, so that nothing can be fitted.
    """
    if not c.any() or not (c < n).any():
        raise ValueError("counts that are all 0 or all n fit any number of curves")
    cells, weights = np.unique(np.stack([n, c]), axis=1, return_counts=True)
    loss = _Loss(cells[0], cells[1], weights)
    starts = _STARTS if near is None else (_free(near),)
    fits = [minimise(loss, start, step=0.7 if near is None else 0.2) for start in starts]
    best = min(fits, key=loss)
    return _fit(best)


class _Loss:
    """The negative log-likelihood of (log alpha, log beta, logit pi), binomial coefficients left out."""

    def __init__(self, n: NDArray[np.int64], c: NDArray[np.int64], weights: NDArray[np.int64]) -> None:
        self._n, self._c, self._weights = n, c, weights
        self._j = np.arange(int(n.max()), dtype=np.float64)
        self._zero = c == 0

    def __call__(self, free: NDArray[np.float64]) -> float:
        fit = _fit(free)
        log = self._rising(fit.alpha, self._c) + self._rising(fit.beta, self._n - self._c)
        log -= self._rising(fit.alpha + fit.beta, self._n)
        log += math.log1p(-fit.never)
        log = np.where(self._zero, np.logaddexp(math.log(fit.never), log), log)
        # A faint pull to the middle, so that likelihoods without a maximum end somewhere.
        return float(-(self._weights @ log) + 1e-4 * float(free @ free))

    def _rising(self, start: float, count: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log of start (start + 1) ... (start + count - 1)."""
        sums: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(np.log(start + self._j))])[count]
        return sums


def _fit(free: NDArray[np.float64]) -> BetaFit:
    a, b, logit = (float(v) for v in np.clip(free, -_FARTHEST, _FARTHEST))
    return BetaFit(math.exp(a), math.exp(b), 1 / (1 + math.exp(-logit)))


def _free(fit: BetaFit) -> tuple[float, float, float]:
    return math.log(fit.alpha), math.log(fit.beta), math.log(fit.never / (1 - fit.never))
