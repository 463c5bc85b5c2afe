"""pass@K beyond the rollouts that were drawn, by a zero-inflated beta-binomial (Kazdan et al. 2025)."""

from dataclasses import dataclass


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


@dataclass(frozen=True)
class Forecast:
    """pass@K by the fit.

    Attributes:
        k: K, more than the rollouts that were drawn.
        estimate: of pass@K.
        ci_low: lower end of the interval by refitting without groups of problems and of seeds; None if it could
            not be refitted.
        ci_high: upper end.
    """

    k: int
    estimate: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class Validation:
    """The same method asked for what is known: fitted on a quarter of the seeds, it predicts pass@n.

    Attributes:
        fitted: rollouts per problem that it was fitted on.
        k: the k predicted.
        predicted: by the fit.
        observed: by the unbiased estimator from all rollouts.
        error: predicted - observed.
    """

    fitted: int
    k: int
    predicted: float
    observed: float
    error: float


@dataclass(frozen=True)
class Extrapolation:
    """Forecasts with the proof of what they are worth.

    Attributes:
        fit: to all rollouts; None if it cannot be had, see ``note``.
        forecasts: ascending K.
        validations: errors on the data themselves, ascending k.
        note: why there is no fit, in words; None otherwise.
    """

    fit: BetaFit | None
    forecasts: tuple[Forecast, ...]
    validations: tuple[Validation, ...]
    note: str | None = None
