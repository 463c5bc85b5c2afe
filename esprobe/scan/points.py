"""The statistics of a scan at each value of sigma or temperature."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from esprobe.errors import StoreError
from esprobe.records import StoredCondition, StoredRollout
from esprobe.spec import BASELINE_SEED
from esprobe.store import RolloutStore


@dataclass(frozen=True)
class ScanExtent:
    """The rollouts that a scan uses: those of these problem indices and seeds."""

    problems: range
    seeds: range


@dataclass(frozen=True)
class ScanPoint:
    """One condition of a scan, compared with the greedy baseline on the same problems; shares are in [0, 1].

    Attributes:
        value: sigma or temperature; None for the baseline itself.
        rollouts: number of rollouts used.
        pass_at_1: mean correctness.
        k: rollouts per problem.
        pass_at_k: share of problems solved by at least one of k rollouts.
        rise: ``pass_at_k`` minus the baseline's pass@1.
        rise_se: standard error of ``rise`` over problems.
        well_formed: share of completions from which the scorer could parse an answer.
        cut_off: share of completions that ended at the token limit.
        same: share of completions identical to the baseline's completion of the same problem.
        tokens: mean tokens per completion.
    """

    value: float | None
    rollouts: int
    pass_at_1: float
    k: int
    pass_at_k: float
    rise: float
    rise_se: float
    well_formed: float
    cut_off: float
    same: float
    tokens: float


def read_points(
    store: RolloutStore, greedy: StoredCondition, scanned: Sequence[StoredCondition], extent: ScanExtent
) -> tuple[ScanPoint, list[ScanPoint]]:
    """The baseline's point, and one for each scanned condition in their order.

    Raises:
        StoreError: rollouts of a condition are missing.
    """
    seeds = range(BASELINE_SEED, BASELINE_SEED + 1)
    baseline = {r.problem: r for r in _rollouts(store, greedy, ScanExtent(extent.problems, seeds))}
    points = []
    for stored in scanned:
        value = stored.condition.sigma if stored.condition.sigma is not None else stored.condition.temperature
        points.append(_point(value, list(_rollouts(store, stored, extent)), baseline, len(extent.seeds)))
    return _point(None, list(baseline.values()), baseline, 1), points


def _rollouts(store: RolloutStore, stored: StoredCondition, extent: ScanExtent) -> list[StoredRollout]:
    found = []
    for rollout in store.rollouts(stored.id):  # ordered by seed; a real run may have added many more after these
        if rollout.seed >= extent.seeds.stop:
            break
        if rollout.seed >= extent.seeds.start and rollout.problem in extent.problems:
            found.append(rollout)
    if len(found) != len(extent.problems) * len(extent.seeds):
        raise StoreError(
            f"{store.path} holds {len(found):,} of the {len(extent.problems) * len(extent.seeds):,} rollouts of "
            f"{stored.condition.label} that were scanned, too few for advice; run the same command again"
        )
    return found


def _point(value: float | None, rollouts: list[StoredRollout], baseline: dict[int, StoredRollout], k: int) -> ScanPoint:
    solved = dict.fromkeys(baseline, False)
    for rollout in rollouts:
        solved[rollout.problem] |= rollout.correct
    gains = [solved[problem] - greedy.correct for problem, greedy in baseline.items()]
    rise = fmean(gains)
    spread = fmean((gain - rise) ** 2 for gain in gains)
    return ScanPoint(
        value=value,
        rollouts=len(rollouts),
        pass_at_1=fmean(r.correct for r in rollouts),
        k=k,
        pass_at_k=fmean(solved.values()),
        rise=rise,
        rise_se=math.sqrt(spread / max(len(gains) - 1, 1)),
        well_formed=fmean(r.answer is not None for r in rollouts),
        cut_off=fmean(r.finish_reason == "length" for r in rollouts),
        same=fmean(r.completion == baseline[r.problem].completion for r in rollouts),
        tokens=fmean(r.token_count for r in rollouts),
    )
