"""What tables and reports are made from: one frozen value per condition, null and published point.

Knows neither the database nor how anything is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from esprobe.records.labels import distinct_labels
from esprobe.spec import Condition, Kind

if TYPE_CHECKING:  # types of fields only: a table of pass@k needs few of these modules
    from esprobe.records import Extent, PublishedPoint, SessionRecord, Totals
    from esprobe.results.detail import Comparison, Detail
    from esprobe.results.given_up import SeedsGivenUp
    from esprobe.results.notes import MixedScorers, UnavailableTask
    from esprobe.results.training_gain import NothingInCommon, Roles, TrainingGain, UnclearRoles
    from esprobe.results.training_selection import TrainingSelection
    from esprobe.stats.cost import CostMatched
    from esprobe.stats.curve import Curve, GroupCurve
    from esprobe.stats.overlap import Overlap
    from esprobe.stats.selection import Selection
    from esprobe.stats.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class ConditionResult:
    """One condition: what was planned, what is stored, and its pass@k curve.

    Attributes:
        id: the condition's id in its database.
        condition: what decides the distribution its rollouts are drawn from.
        extent: the smallest rectangle of problems and seeds that contains everything planned; None if the plan is not
            recorded.
        planned: rollouts planned by any session, less those given up; None if the plan is not recorded.
        missing: planned rollouts that are not stored; None if the plan is not recorded.
        problems: problems with at least one rollout.
        samples_min: the fewest rollouts of any such problem; 0 without rollouts.
        samples_max: the most rollouts of any such problem; 0 without rollouts.
        totals: sums over its stored rollouts.
        curve: pass@k with intervals for new problems (random set); without points if nothing is stored.
        same_problems: the same estimates with intervals for the same problems (fixed set).
        scorers: names of the scorers of its verdicts, sorted; several if they are mixed.
        detail: shown only by reports; None for a table of pass@k.
        by_group: the curve by problem class, sorted; empty likewise.
        given_up: its seeds that will not be drawn; None where none was given up.
    """

    id: int
    condition: Condition
    extent: Extent | None
    planned: int | None
    missing: int | None
    problems: int
    samples_min: int
    samples_max: int
    totals: Totals
    curve: Curve
    same_problems: Curve
    scorers: tuple[str, ...] = ()
    detail: Detail | None = None
    by_group: tuple[GroupCurve, ...] = ()
    given_up: SeedsGivenUp | None = None

    @property
    def kind(self) -> Kind:
        """How its rollouts were sampled."""
        return self.condition.kind


@dataclass(frozen=True)
class NullResult:
    """pass@k of random guessing without any model, such as random expressions over the given numbers.

    Attributes:
        label: how tables name it.
        definition: how the answers are drawn, in the task's own words.
        curve: its pass@k; see ``expected_curve``.
        by_group: the same by problem class, sorted.
        left_out: problems of the conditions for which the task does not know it.
    """

    label: str
    definition: str
    curve: Curve
    by_group: tuple[GroupCurve, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that one table or report shows.

    Attributes:
        task: the task's name.
        scorer: name and version of the scorer whose verdicts are counted.
        conditions: in the order of display; ids are unique.
        nulls: curves of guessing, shown beside the conditions.
        published: figures from elsewhere about this task.
        sessions: the invocations that stored the rollouts.
        asked_ks: the k given by the user; None for the default, powers of two.
        pairs: every two conditions, the earlier one first; empty for a table of pass@k.
        against_null: every sampled condition against every null; empty likewise.
        arms: the solved sets of the temperature arm (A) and the perturbation arm (B), each the union of its
            conditions; None without both arms.
        selection: the best conditions, judged on held-out problems; None for a table of pass@k.
        verdict: the outcomes of the pre-declared contrasts; None for a table of pass@k.
        training_gain: what training adds to the base, or why that is not known; None where no two models have roles.
        cost_matched: pass@k at equal tokens, then at equal engine-seconds where they are recorded.
        mixed_scorers: the scorers of each condition, if they differ; else None.
        unavailable_tasks: tasks of the conditions that could not be loaded.
        training_selection: training runs against selection at equal cost; empty without any, and for a table of pass@k.
        labels: a unique label for each condition id; if empty, what tells these conditions apart.
    """

    task: str
    scorer: str
    conditions: tuple[ConditionResult, ...]
    nulls: tuple[NullResult, ...] = ()
    published: tuple[PublishedPoint, ...] = ()
    sessions: tuple[SessionRecord, ...] = ()
    asked_ks: tuple[int, ...] | None = None
    pairs: tuple[Comparison, ...] = ()
    against_null: tuple[Comparison, ...] = ()
    arms: Overlap | None = None
    selection: Selection | None = None
    verdict: Verdict | None = None
    training_gain: TrainingGain | NothingInCommon | UnclearRoles | None = None
    cost_matched: tuple[CostMatched, ...] = ()
    mixed_scorers: MixedScorers | None = None
    unavailable_tasks: tuple[UnavailableTask, ...] = ()
    training_selection: tuple[TrainingSelection, ...] = ()
    labels: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Label the conditions that have no labels."""
        if not self.labels:
            object.__setattr__(self, "labels", distinct_labels({c.id: c.condition for c in self.conditions}))

    @property
    def greedy(self) -> tuple[ConditionResult, ...]:
        """The baselines: one rollout per problem, so a single number each."""
        return tuple(c for c in self.conditions if not c.kind.is_sampled)

    @property
    def sampled(self) -> tuple[ConditionResult, ...]:
        """The conditions that have a curve."""
        return tuple(c for c in self.conditions if c.kind.is_sampled)

    @property
    def roles(self) -> Roles | None:
        """Which model is the base and which the trained one; None if there are no roles."""
        return None if self.training_gain is None else self.training_gain.roles

    @property
    def ks(self) -> tuple[int, ...]:
        """Every k of the conditions' curves, ascending; without those, of the nulls or else the baselines."""
        for results in (self.sampled, self.nulls, self.greedy):
            if ks := {point.k for result in results for point in result.curve.points}:
                return tuple(sorted(ks))
        return ()
