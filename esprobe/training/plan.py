"""Which rollouts of an iteration are missing, for the sampling loop."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from esprobe.es import Draw
from esprobe.sampling.plan import Plan, Planned
from esprobe.store import RolloutWriter
from esprobe.store.training import stored_keys
from esprobe.trajectory import Trajectory
from esprobe.workers.work import Key, Work


@dataclass(frozen=True)
class Members:
    """The members of a population that share a condition: all of them, or one side of antithetic pairs."""

    planned: Planned
    draws: tuple[Draw, ...]


class IterationPlan:
    """The rollouts of one iteration: its evaluation, if it has one, and then its population, member by member.

    A member is one work: its weights are computed once. All start from the same trained weights, so that no worker
    waits for the evaluation before it draws a member.
    """

    def __init__(
        self,
        store: RolloutWriter,
        trajectory: Trajectory,
        members: Sequence[Members],
        problems: Mapping[int, int],
        evaluation: Plan | None,
    ) -> None:
        """Look up what is stored.

        Args:
            store: the database.
            trajectory: the training before this iteration.
            members: the population, by condition; empty after the last iteration.
            problems: store ids to indices of the iteration's problems, ascending by index.
            evaluation: the plan of the evaluation of the model before this iteration.
        """
        self._trajectory = trajectory
        self._members = members
        self._problems = problems
        self._evaluation = evaluation
        self._stored = {
            one.planned.condition_id: stored_keys(store, one.planned.condition_id, [draw.seed for draw in one.draws])
            for one in members
        }
        self.conditions = [
            *([] if evaluation is None else evaluation.conditions),
            *(one.planned for one in members),
        ]

    @property
    def has_work(self) -> bool:
        """Whether a worker is needed: rollouts are missing, or an update that follows from stored ones."""
        return bool(self._members) or self.stored < self.total

    @property
    def is_evaluated(self) -> bool:
        """Whether the model before this iteration is evaluated."""
        return self._evaluation is not None

    @property
    def condition_ids(self) -> set[int]:
        """Ids of the conditions."""
        return {planned.condition_id for planned in self.conditions}

    @property
    def total(self) -> int:
        """Rollouts planned."""
        evaluated = 0 if self._evaluation is None else self._evaluation.total
        return evaluated + sum(len(one.draws) for one in self._members) * len(self._problems)

    @property
    def stored(self) -> int:
        """Planned rollouts that the database held when the plan was made."""
        evaluated = 0 if self._evaluation is None else self._evaluation.stored
        held = (id_ in self._problems for keys in self._stored.values() for id_, _ in keys)
        return evaluated + sum(held)

    def works(self, batch_size: int | None, workers: int) -> Iterator[Work]:
        """The missing rollouts, in order; see ``Plan.works``."""
        if self._evaluation is not None:
            for work in self._evaluation.works(batch_size, workers):
                yield replace(work, trajectory=self._trajectory)
        keeps_state = True
        if self._members and self.stored == self.total:
            # Killed after its last rollout and before its update was stored, which records the weights' digest.
            planned = self._members[0].planned
            yield Work(planned.condition_id, planned.condition, (), self._trajectory, keeps_state)
        for one in self._members:
            for draw in one.draws:
                if batches := self._batches(one.planned.condition_id, draw.seed, batch_size):
                    yield Work(one.planned.condition_id, one.planned.condition, batches, self._trajectory, keeps_state)
                    keeps_state = False

    def _batches(self, condition_id: int, seed: int, batch_size: int | None) -> tuple[tuple[Key, ...], ...]:
        """A member's missing rollouts, in the batches of an uninterrupted run."""
        stored = self._stored[condition_id]
        keys = [Key(id_, index, seed) for id_, index in self._problems.items()]
        size = batch_size or len(keys)
        cut = [keys[start : start + size] for start in range(0, len(keys), size)]
        missing = [tuple(key for key in batch if (key.problem_id, seed) not in stored) for batch in cut]
        return tuple(batch for batch in missing if batch)
