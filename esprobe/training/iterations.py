"""The iterations of one run in its database: what each has to draw, and what its rewards make of the weights."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from esprobe.es import Draw, coefficients, fitness, population, problems_of
from esprobe.records import Extent
from esprobe.records.training import Iteration, Member, TrainingRun
from esprobe.sampling.plan import Plan, Planned
from esprobe.spec import BASELINE_SEED, Condition
from esprobe.store import RolloutWriter
from esprobe.store.training import rewards, trajectory_of
from esprobe.store.training_writer import record_iteration
from esprobe.training.job import TrainingJob
from esprobe.training.plan import IterationPlan, Members
from esprobe.trajectory import Trajectory, Update


class Iterations:
    """One run, iteration by iteration. Knows nothing of engines.

    Attributes:
        run: as it was stored when this was made.
        trajectory: its updates so far; grows with ``finish``.
    """

    def __init__(
        self,
        job: TrainingJob,
        run: TrainingRun,
        greedy: Condition,
        store: RolloutWriter,
        training: Mapping[int, int],
        evaluation: Mapping[int, int],
    ) -> None:
        """Read what is stored.

        Args:
            job: the command.
            run: the run.
            greedy: the base model's greedy condition.
            store: the database.
            training: index to store id of the training problems.
            evaluation: index to store id of the evaluation problems; empty for no evaluation.

        Raises:
            StoreError: the stored updates do not match their digests.
        """
        self.run = run
        self.trajectory = trajectory_of(run, store.path)
        self._job = job
        self._greedy = greedy
        self._store = store
        self._training = training
        self._evaluation = evaluation

    @property
    def states(self) -> dict[str, str]:
        """The digests of weights that earlier sessions recorded, by the digest of the trajectory that led to them."""
        return {digest: done.state for digest, done in zip(self.trajectory.digests, self.run.iterations, strict=False)}

    @property
    def finished(self) -> int:
        """Iterations whose update is stored."""
        return len(self.trajectory.updates)

    @property
    def is_complete(self) -> bool:
        """Whether all iterations and evaluations that the command asks for are stored."""
        wanted = range(self._job.iterations + 1)
        return self.finished >= self._job.iterations and all(self.is_drawn(self.plan(number)) for number in wanted)

    @staticmethod
    def is_drawn(plan: IterationPlan) -> bool:
        """Whether nothing of a plan was missing when it was made."""
        return plan.stored == plan.total

    @property
    def rollouts(self) -> int:
        """Rollouts of all iterations and evaluations that the command asks for."""
        evaluations = sum(map(self._job.evaluates, range(self._job.iterations + 1)))
        return evaluations * len(self._evaluation) + self._job.iterations * self.population

    @property
    def population(self) -> int:
        """Rollouts of one iteration's population."""
        return self._job.population * (self._job.problems_per_iteration or len(self._training))

    def plan(self, number: int) -> IterationPlan:
        """What iteration ``number`` draws: the evaluation of the model before it, and its population if it is next.

        The population of a finished iteration is stored whole, or its update would not be.
        """
        before = self.trajectory.upto(number)
        members = [] if number < self.finished or number >= self._job.iterations else self._members(number, before)
        indices = self._problems_of(number)
        evaluation = None
        if self._job.evaluates(number) and self._evaluation:
            condition = self._evaluated(before)
            planned = Planned(self._store.register_condition(condition), condition, BASELINE_SEED, 1)
            evaluation = Plan(self._store, [planned], {id_: index for index, id_ in self._evaluation.items()})
        return IterationPlan(
            self._store, before, members, {self._training[index]: index for index in indices}, evaluation
        )

    def extents(self, number: int, plan: IterationPlan) -> dict[int, Extent]:
        """What a plan of this iteration asks for, by condition id."""
        block, evaluated = self._problems_of(number), list(self._evaluation)
        found = {}
        for planned in plan.conditions:
            indices = block if planned.condition.run is not None else evaluated
            extent = Extent(min(indices), max(indices) + 1, planned.first_seed, planned.samples, len(indices))
            found[planned.condition_id] = extent
        return found

    def finish(self, number: int, state: str, norms: Mapping[str, tuple[float, float]]) -> Iteration:
        """Store the update of an iteration whose population is stored; the next one is drawn around its result.

        Args:
            number: of the iteration, the first that is not finished.
            state: digest of the weights that its population was drawn around.
            norms: of the updates that led to them, by class of tensors.
        """
        members = self._members(number, self.trajectory)
        drawn = {
            (one.planned.condition_id, seed): found
            for one in members
            for seed, found in self._rewards(one.planned.condition_id).items()
        }
        ids = {one.planned.condition.mirrored: one.planned.condition_id for one in members}
        draws = self._population(number)
        fitnesses = [fitness(drawn[ids[True if draw.sign < 0 else None], draw.seed]) for draw in draws]
        factors = coefficients(draws, fitnesses, self._job.alpha, self._job.shaping)
        update = Update(tuple(draw.seed for draw in draws), tuple(factors))
        after = self.trajectory.extended(update)
        done = Iteration(
            tuple(Member(*draw, *rest) for draw, *rest in zip(draws, fitnesses, factors, strict=True)),
            after.digest,
            state,
            dict(norms),
        )
        record_iteration(self._store, self.run.id, number, done)
        self.trajectory = after
        return done

    def cut_off(self, plan: IterationPlan) -> float:
        """Share of the stored completions of a plan's population that were cut off."""
        ids = [planned.condition_id for planned in plan.conditions if planned.condition.run is not None]
        totals = [self._store.totals(id_) for id_ in ids]
        return sum(one.cut_off for one in totals) / max(sum(one.rollouts for one in totals), 1)

    def accuracy(self, number: int) -> float:
        """Share of the evaluation problems that the model before this iteration solves."""
        condition_id = self._store.register_condition(self._evaluated(self.trajectory.upto(number)))
        verdicts = self._store.correctness(condition_id)
        rows = np.isin(verdicts.problems, list(self._evaluation))
        return float(verdicts.correct[rows].sum() / len(self._evaluation))

    def _population(self, number: int) -> list[Draw]:
        return population(self.run.recipe["seed"], number, self._job.population, antithetic=self._job.antithetic)

    def _problems_of(self, number: int) -> list[int]:
        size = self._job.problems_per_iteration or len(self._training)
        return problems_of(list(self._training), self.run.recipe["seed"], number, size)

    def _members(self, number: int, before: Trajectory) -> list[Members]:
        """The population by condition: mirrored members have one of their own, because they share their seeds."""
        found = []
        draws = self._population(number)
        for sign in (1, -1) if self._job.antithetic else (1,):
            mine = tuple(draw for draw in draws if draw.sign == sign)
            condition = replace(
                self._greedy,
                sigma=self._job.sigma,
                noise=self._job.sampling.noise,
                scope=self._job.sampling.scope,
                run=self.run.digest,
                iteration=number,
                trajectory=before.digest,
                mirrored=True if sign < 0 else None,
            )
            planned = Planned(self._store.register_condition(condition), condition, 0, len(mine))
            found.append(Members(planned, mine))
        return found

    def _evaluated(self, before: Trajectory) -> Condition:
        """The greedy condition of the model that a trajectory leads to."""
        if not before.updates:
            return self._greedy
        name = f"{self._store.path.name}:{self.run.id}@{len(before.updates)}"
        return replace(self._greedy, model=name, model_fingerprint=before.fingerprint)

    def _rewards(self, condition_id: int) -> dict[int, Sequence[float]]:
        found: dict[int, list[float]] = {}
        for row in rewards(self._store, condition_id):
            found.setdefault(row.seed, []).append(row.reward)
        return dict(found)
