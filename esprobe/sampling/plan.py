"""What is owed, and in which order it is drawn.

Owed is planned minus stored, a set difference made in SQL; there is no state "running" and no checkpoint file.
The order keeps a partial database balanced: all conditions advance together, a block of seeds at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from esprobe.seeds import sampling_seed
from esprobe.spec import Condition, Perturbation, Problem, Prompt, Request
from esprobe.store import RolloutWriter

TEMPERATURE_BLOCK = 16
"""Seeds of one problem drawn back to back: enough for an engine's prefix cache, few enough to stay balanced."""


@dataclass(frozen=True)
class Planned:
    """One condition and the seeds planned for each problem."""

    condition_id: int
    condition: Condition
    first_seed: int
    samples: int


@dataclass(frozen=True)
class Unit:
    """What an engine runs at once: one perturbation, or one block of seeds, over all problems."""

    planned: Planned
    first_seed: int
    samples: int

    @property
    def perturbation(self) -> Perturbation | None:
        """The model this unit runs; a perturbation's unit has one seed."""
        return self.planned.condition.perturbation(self.first_seed)


class Plan:
    """The planned rollouts of one job against what a database holds."""

    def __init__(
        self,
        store: RolloutWriter,
        conditions: list[Planned],
        problems: list[tuple[int, Problem, Prompt]],
    ) -> None:
        """Ask the store once what is there; ``problems`` are (store id, problem, prompt) in sampling order."""
        self._store = store
        self.conditions = conditions
        self._problems: Mapping[int, tuple[Problem, Prompt]] = {id_: (p, prompt) for id_, p, prompt in problems}
        store.plan_problems(list(self._problems))
        self._stored = {
            c.condition_id: store.stored_by_seed(c.condition_id, c.first_seed, c.samples) for c in conditions
        }

    @property
    def total(self) -> int:
        """Rollouts planned."""
        return sum(planned.samples for planned in self.conditions) * len(self._problems)

    @property
    def stored(self) -> int:
        """Planned rollouts that the database held when the plan was made."""
        return sum(sum(counts.values()) for counts in self._stored.values())

    def units(self) -> Iterator[Unit]:
        """Units with something owed: the first block of every condition, then the second of every one, ..."""
        blocks = [list(self._blocks(planned)) for planned in self.conditions]
        for row in zip_longest(*blocks):
            yield from (unit for unit in row if unit is not None and not self._complete(unit))

    def requests(self, unit: Unit, batch_size: int | None) -> Iterator[list[Request]]:
        """What a unit still owes, in batches.

        Batches are cut from the planned problems, not from the missing ones, so that a resumed run computes together
        what an uninterrupted one does. Without a batch size the unit is one batch.
        """
        owed: dict[tuple[int, int], None] = dict.fromkeys(
            self._store.owed(unit.planned.condition_id, unit.first_seed, unit.samples)
        )
        # A problem's seeds stand back to back: an engine with a prefix cache computes the prompt once.
        keys = [(id_, unit.first_seed + i) for id_ in self._problems for i in range(unit.samples)]
        step = batch_size or max(len(keys), 1)
        for start in range(0, len(keys), step):
            batch = [self._request(unit, *key) for key in keys[start : start + step] if key in owed]
            if batch:
                yield batch

    def _blocks(self, planned: Planned) -> Iterator[Unit]:
        width = TEMPERATURE_BLOCK if planned.condition.kind == "temperature" else 1
        for offset in range(0, planned.samples, width):
            yield Unit(planned, planned.first_seed + offset, min(width, planned.samples - offset))

    def _complete(self, unit: Unit) -> bool:
        counts = self._stored[unit.planned.condition_id]
        seeds = range(unit.first_seed, unit.first_seed + unit.samples)
        return sum(counts.get(seed, 0) for seed in seeds) == unit.samples * len(self._problems)

    def _request(self, unit: Unit, problem_id: int, seed: int) -> Request:
        problem, prompt = self._problems[problem_id]
        condition = unit.planned.condition
        drawn = None
        if condition.kind == "temperature":
            drawn = sampling_seed(condition.data_digest, problem.index, condition.digest, seed)
        return Request(
            problem_id=problem_id,
            problem_index=problem.index,
            seed=seed,
            prompt=prompt,
            max_tokens=condition.max_tokens,
            temperature=condition.temperature,
            top_p=condition.top_p if condition.top_p is not None else 1.0,
            top_k=condition.top_k if condition.top_k is not None else -1,
            sampling_seed=drawn,
            stop_loops=bool(condition.stop_loops),
        )
