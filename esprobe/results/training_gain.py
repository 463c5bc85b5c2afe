"""What training adds to the base: two models of one file in their roles, and what each one solves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from esprobe.records import Model

if TYPE_CHECKING:  # types of fields only: a table of pass@k needs few of these modules
    from esprobe.stats.crossing import Crossing
    from esprobe.stats.curve import Curve
    from esprobe.stats.difference import Difference


@dataclass(frozen=True)
class Roles:
    """Which model is the base, and which was made from it by training."""

    base: Model
    trained: Model


@dataclass(frozen=True)
class UnclearRoles:
    """Models of one architecture in one file, but not exactly two of which one is recorded as made from the other."""

    models: tuple[Model, ...]
    roles: None = None


@dataclass(frozen=True)
class NothingInCommon:
    """The two models have no conditions of one prompt and token limit with a problem in common."""

    roles: Roles


@dataclass(frozen=True, kw_only=True)
class Reach:
    """One condition of the base against the trained model's pass@1.

    Attributes:
        condition: its id.
        decoding: how tables name it beside the base's other ones, such as "T=0.8".
        samples: the fewest rollouts of a problem: its largest k.
        point: the k at which its pass@k reaches the trained model's pass@1; None without intervals.
        solved: of the problems that the trained model solves greedily, those that it solves in any rollout; None
            without a greedy baseline of the trained model.
    """

    condition: int
    decoding: str
    samples: int
    point: Crossing | None
    solved: int | None


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The two models' pass@k under the same decoding.

    Attributes:
        base: id of the base's condition.
        trained: id of the trained model's.
        decoding: how tables name both.
        difference: pass@k of the trained model minus that of the base.
        point: the crossing point k* of the two; None without intervals.
    """

    base: int
    trained: int
    decoding: str
    difference: Difference
    point: Crossing | None


@dataclass(frozen=True, kw_only=True)
class SolvedAlone:
    """One problem that only one of the two models solves, with a completion that does.

    Attributes:
        problem: its index.
        group: its class.
        inputs: what is asked, in a line.
        condition: id of the condition of the completion.
        decoding: its label.
        seed: of its draw.
        text: the completion; of a long one the beginning and the end.
    """

    problem: int
    group: str
    inputs: str
    condition: int
    decoding: str
    seed: int
    text: str


@dataclass(frozen=True, kw_only=True)
class OnlyOne:
    """Problems that one model solves and the other does not.

    Attributes:
        problems: indices, ascending.
        shown: the first of them with a completion each.
    """

    problems: tuple[int, ...]
    shown: tuple[SolvedAlone, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingGain:
    """All that a report says of a trained model against its base, over the problems that the conditions share.

    Attributes:
        roles: the two models.
        problems: how many problems that is.
        decoding: label of the decoding whose pass@1 is compared: greedy if both have a greedy baseline.
        pass_1: pass@1 of the trained model minus that of the base, at k = 1 alone.
        solved_greedily: problems that the trained model solves greedily; None without a greedy baseline.
        reaches: the base's conditions, the one that the sentence speaks of first; empty without any.
        coverage: pairs of equal decoding, the one that the sentence speaks of first; empty without any.
        curves: pass@k over these problems by condition id: the pairs', and the base's in ``reaches``.
        greedy: ids of the base's and the trained model's greedy baselines; None for one that is missing.
        only_trained: solved by the trained model alone, in its first pair's condition or greedily.
        only_base: solved by the base alone, likewise.
        samples: fewest rollouts of the base and the trained model behind those two lists, greedy ones not counted; 0
            without any.
    """

    roles: Roles
    problems: int
    decoding: str
    pass_1: Difference
    solved_greedily: int | None
    reaches: tuple[Reach, ...]
    coverage: tuple[Coverage, ...]
    curves: dict[int, Curve]
    greedy: tuple[int | None, int | None]
    only_trained: OnlyOne
    only_base: OnlyOne
    samples: tuple[int, int]
