"""What a few rollouts say about one value of sigma or temperature."""

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
    """Which rollouts are looked at: of these problem indices, under these seeds."""

    problems: range
    seeds: range


@dataclass(frozen=True)
class ScanPoint:
    """One condition of a scan beside the greedy baseline of the same problems; shares are 0..1.

    Attributes:
        value: sigma or temperature; None for the baseline itself.
        rollouts: how many were looked at.
        pass_at_1: mean correctness.
        k: draws of each problem.
        pass_at_k: share of the problems that one of the k draws solves.
        rise: ``pass_at_k`` less the baseline's pass@1.
        rise_se: its standard error, from how problems differ.
        well_formed: share of completions with an answer that the scorer could read.
        cut_off: share that ended at the token limit.
        same: share equal to the baseline's completion of their problem, letter for letter.
        tokens: mean tokens of a completion.
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
    store: RolloutStore, greedy: StoredCondition, scanned: Sequence[StoredCondition], asked: ScanExtent
) -> tuple[ScanPoint, list[ScanPoint]]:
    """The baseline's point, and one for each scanned condition in their order.

    Raises:
        StoreError: rollouts of a condition are missing.
    """
    seeds = range(BASELINE_SEED, BASELINE_SEED + 1)
    baseline = {r.problem: r for r in _rollouts(store, greedy, ScanExtent(asked.problems, seeds))}
    points = []
    for stored in scanned:
        value = stored.condition.sigma if stored.condition.sigma is not None else stored.condition.temperature
        points.append(_point(value, list(_rollouts(store, stored, asked)), baseline, len(asked.seeds)))
    return _point(None, list(baseline.values()), baseline, 1), points


def _rollouts(store: RolloutStore, stored: StoredCondition, asked: ScanExtent) -> list[StoredRollout]:
    found = []
    for rollout in store.rollouts(stored.id):  # by seed: a real run may have added a million after these
        if rollout.seed >= asked.seeds.stop:
            break
        if rollout.seed >= asked.seeds.start and rollout.problem in asked.problems:
            found.append(rollout)
    if len(found) != len(asked.problems) * len(asked.seeds):
        raise StoreError(
            f"{store.path} holds {len(found):,} of the {len(asked.problems) * len(asked.seeds):,} rollouts of "
            f"{stored.condition.label} that were scanned, so no advice can rest on them; run the same command again"
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
