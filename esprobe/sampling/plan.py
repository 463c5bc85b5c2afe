"""Which rollouts are missing, and in which order they are sampled.

Missing is planned minus stored, a set difference computed in SQL; there is no "running" state and no checkpoint file.
The order keeps a partial database balanced: all conditions advance together, one block of seeds at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Protocol, TypeVar

from esprobe.sampling.shard import WHOLE, Shard
from esprobe.spec import Condition
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.workers.work import Key, Work

Item = TypeVar("Item")

TEMPERATURE_BLOCK = 16
"""Consecutive seeds of one problem: enough to use an engine's prefix cache, few enough to stay balanced."""

LEAST_PORTION = 1024
"""Least rollouts per work for an engine that keeps its own window, because the window drains between two works."""

MOST_BATCHES = 4
"""Most batches per work: few, so that no worker is idle for long at the end while another is still busy."""


@dataclass(frozen=True)
class Planned:
    """One condition and the seeds planned for every problem."""

    condition_id: int
    condition: Condition
    first_seed: int
    samples: int


@dataclass(frozen=True)
class Unit:
    """What an engine runs at once: one perturbation, or one block of seeds, on all problems.

    Attributes:
        planned: the condition.
        first_seed: its first seed.
        samples: number of seeds.
        stored: its rollouts that the database held when the plan was made.
    """

    planned: Planned
    first_seed: int
    samples: int
    stored: int = 0

    @property
    def seeds(self) -> range:
        """Its seeds; one if it is a perturbation."""
        return range(self.first_seed, self.first_seed + self.samples)


class SamplingPlan(Protocol):
    """What the sampling loop needs of a plan."""

    @property
    def conditions(self) -> Sequence[Planned]:
        """Those that are sampled."""

    @property
    def total(self) -> int:
        """Rollouts planned."""

    @property
    def stored(self) -> int:
        """Planned rollouts that the database held when the plan was made."""

    def works(self, batch_size: int | None, workers: int) -> Iterator[Work]:
        """The missing rollouts, in order, in the portions that are sent to workers; see ``Plan.works``."""


class Plan:
    """The planned rollouts of one job, or of its shard, compared with the stored ones."""

    def __init__(
        self,
        store: RolloutWriter,
        conditions: list[Planned],
        problems: Mapping[int, int],
        shard: Shard = WHOLE,
    ) -> None:
        """Count the stored rollouts once; ``problems`` maps store ids to indices, in sampling order."""
        self._store = store
        self.conditions = conditions
        self._problems = problems
        self._units = list(units_of(conditions, shard))
        self._units = [
            replace(unit, stored=stored) for unit, stored in zip(self._units, self._counts(store), strict=True)
        ]
        self._begun: set[tuple[int, int]] = set()  # condition and first seed of units that were sent to workers
        self._given_up: set[int] = set()

    @property
    def total(self) -> int:
        """Rollouts planned."""
        return sum(unit.samples for unit in self._units) * len(self._problems)

    @property
    def stored(self) -> int:
        """Planned rollouts that the database held when the plan was made."""
        return sum(unit.stored for unit in self._units)

    def count(self, store: RolloutStore) -> int:
        """Planned rollouts that the database holds now."""
        return sum(self._counts(store))

    def units(self) -> Iterator[Unit]:
        """Units with missing rollouts: the first block of every condition, then the second of every one, ..."""
        for unit in self._units:
            if self._lacks(unit) and unit.planned.condition_id not in self._given_up:
                yield unit

    def units_of(self, condition_id: int) -> list[Unit]:
        """All planned units of a condition, in order."""
        return [unit for unit in self._units if unit.planned.condition_id == condition_id]

    def give_up(self, condition_id: int) -> list[int]:
        """Take the units of a condition that are neither complete nor begun out of the plan; returns their seeds."""
        self._given_up.add(condition_id)
        left = [
            unit
            for unit in self.units_of(condition_id)
            if self._lacks(unit) and (condition_id, unit.first_seed) not in self._begun
        ]
        seeds = {unit.first_seed for unit in left}
        self._units = [
            unit for unit in self._units if unit.planned.condition_id != condition_id or unit.first_seed not in seeds
        ]
        return [seed for unit in left for seed in unit.seeds]

    def _lacks(self, unit: Unit) -> bool:
        return unit.stored < unit.samples * len(self._problems)

    def works(self, batch_size: int | None, workers: int) -> Iterator[Work]:
        """The missing rollouts of the units, in order, in the portions that are sent to workers.

        A perturbation is one portion, because its weights are computed once for it. Other units are split: into a few
        batches at a time, or for an engine that keeps its own window into one portion per worker.

        Args:
            batch_size: of the engine; None if it keeps its own window.
            workers: number of workers.
        """
        for unit in self.units():
            self._begun.add((unit.planned.condition_id, unit.first_seed))
            batches = self.batches(unit, batch_size)
            portions = [batches]
            if workers > 1 and not unit.planned.condition.kind.shares_noise:
                if batch_size is None:
                    (keys,) = batches
                    portions = [[part] for part in _cut(keys, max(_share(keys, workers), LEAST_PORTION))]
                else:
                    portions = _cut(batches, min(_share(batches, workers), MOST_BATCHES))
            for portion in portions:
                yield Work(unit.planned.condition_id, unit.planned.condition, tuple(map(tuple, portion)))

    def batches(self, unit: Unit, batch_size: int | None) -> list[list[Key]]:
        """The missing rollouts of a unit, in batches.

        Batches are formed from the planned rollouts, not from the missing ones, so that a resumed run has the same
        batches as an uninterrupted one. Without a batch size the unit is one batch.
        """
        # A problem's seeds are consecutive: an engine with a prefix cache computes the prompt once.
        keys = [Key(id_, index, seed) for id_, index in self._problems.items() for seed in unit.seeds]
        planned = _cut(keys, batch_size or max(len(keys), 1))
        if not unit.stored:
            return planned
        owed = set(self._store.owed(unit.planned.condition_id, self._problems, unit.first_seed, unit.samples))
        batches = [[key for key in batch if (key.problem_id, key.seed) in owed] for batch in planned]
        return [batch for batch in batches if batch]

    def _counts(self, store: RolloutStore) -> Iterator[int]:
        """For each unit, its rollouts that the database holds."""
        by_seed = {
            c.condition_id: store.stored_by_seed(c.condition_id, self._problems, c.first_seed, c.samples)
            for c in self.conditions
        }
        for unit in self._units:
            yield sum(by_seed[unit.planned.condition_id].get(seed, 0) for seed in unit.seeds)


def units_of(conditions: Sequence[Planned], shard: Shard) -> Iterator[Unit]:
    """The shard's units: the first block of every condition, then the second of every one, ..."""
    drawn = [planned for planned in conditions if planned.condition.kind.is_sampled]
    for number, row in enumerate(zip_longest(*map(_blocks, conditions))):
        for unit in row:
            if unit is None:
                continue
            greedy = not unit.planned.condition.kind.is_sampled
            if shard.has_baseline if greedy else shard.holds(number, drawn.index(unit.planned), len(drawn)):
                yield unit


def _blocks(planned: Planned) -> Iterator[Unit]:
    width = TEMPERATURE_BLOCK if planned.condition.kind.has_token_noise else 1
    for offset in range(0, planned.samples, width):
        yield Unit(planned, planned.first_seed + offset, min(width, planned.samples - offset))


def _share(items: Sequence[Item], workers: int) -> int:
    return -(-len(items) // workers)


def _cut(items: Sequence[Item], size: int) -> list[list[Item]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
