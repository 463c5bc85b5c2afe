"""One condition's result: what was planned, what is stored, and its pass@k."""

from collections.abc import Sequence

from esprobe.records import Correctness, Extent, StoredCondition, Totals
from esprobe.results.given_up import SeedsGivenUp
from esprobe.results.results import ConditionResult
from esprobe.stats.curve import estimate_curve
from esprobe.stats.outcomes import Outcomes


def condition_result(
    stored: StoredCondition,
    correctness: Correctness,
    totals: Totals,
    *,
    scorers: tuple[str, ...] = (),
    extent: Extent | None = None,
    planned: int | None = None,
    missing: int | None = None,
    ks: Sequence[int] | None = None,
    given_up: SeedsGivenUp | None = None,
) -> ConditionResult:
    """A condition's result, its curve included, from what the store returns.

    Args:
        stored: the condition and its id.
        correctness: its verdicts.
        totals: sums over its rollouts.
        scorers: names of the scorers of the verdicts.
        extent: the rectangle that holds all that was planned, if recorded.
        planned: rollouts planned, where that is not the whole rectangle.
        missing: planned rollouts that are not stored, if recorded.
        ks: powers of two up to the fewest rollouts of any problem if None. A greedy baseline always gets k = 1,
            the only one that a single rollout allows.
        given_up: its seeds that will not be drawn, if there are any.

    Raises:
        ValueError: not 1 <= k <= min n for every k.
    """
    outcomes = Outcomes(correctness.correct, correctness.stored)
    kind = stored.condition.kind
    ks = (1,) if not kind.is_sampled else ks
    return ConditionResult(
        id=stored.id,
        condition=stored.condition,
        extent=extent,
        planned=extent.problems * extent.samples if extent is not None and planned is None else planned,
        missing=missing,
        problems=outcomes.problems,
        samples_min=outcomes.n_min,
        samples_max=int(outcomes.n.max()) if outcomes.problems else 0,
        totals=totals,
        curve=estimate_curve(outcomes, kind, ks),
        same_problems=estimate_curve(outcomes, kind, ks, "these problems"),
        scorers=scorers,
        given_up=given_up,
    )
