"""What a report shows of conditions beyond their curves, and of pairs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # types of fields only: a table of pass@k needs few of these modules
    from esprobe.results.notes import PairNote
    from esprobe.stats.cost import Cost
    from esprobe.stats.cover import CoverPoint
    from esprobe.stats.difference import Difference
    from esprobe.stats.diversity import Diversity
    from esprobe.stats.extrapolation import Extrapolation
    from esprobe.stats.histogram import CorrectCounts
    from esprobe.stats.independence import Independence
    from esprobe.stats.overlap import Overlap
    from esprobe.stats.taxonomy import Taxonomy
    from esprobe.stats.votes import Vote


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One condition beyond its curve.

    Attributes:
        counts: how often its problems are solved.
        cover: share of problems solved reliably, one point for each tau; empty without problems.
        taxonomy: how its rollouts failed or succeeded.
        cost: its curve against tokens and engine-seconds.
        vote: majority vote; None for a greedy baseline.
        diversity: distinct correct answers.
        independence: effective number of draws; None for a greedy baseline.
        extrapolation: beyond n; None for a greedy baseline.
        task_error: why its task could not say which answers are equal, so that they were compared by their text.
    """

    counts: CorrectCounts
    cover: tuple[CoverPoint, ...]
    taxonomy: Taxonomy
    cost: Cost
    vote: Vote | None
    diversity: Diversity
    independence: Independence | None
    extrapolation: Extrapolation | None
    task_error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two conditions, paired by problem over the problems that both have. Differences are B minus A.

    Attributes:
        a: id of the first; None where ``label_a`` names a null.
        b: id of the second.
        label_a: how tables name it.
        label_b: likewise.
        difference: with intervals for new problems (random set).
        same_problems: with intervals for the same problems (fixed set).
        overlap: their solved sets; None against a null.
        shared_seeds: whether both are perturbations of the same noise, so that one seed moves both alike.
        notes: what is unusual about the pair.
    """

    a: int | None
    b: int
    label_a: str
    label_b: str
    difference: Difference
    same_problems: Difference
    overlap: Overlap | None
    shared_seeds: bool
    notes: tuple[PairNote, ...] = ()
