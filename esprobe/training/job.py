"""A training command as values, and the recipe that names its run."""

import math
from dataclasses import dataclass, replace
from typing import Any

from esprobe.engines import ModelIdentity
from esprobe.errors import UsageError
from esprobe.es import ALGORITHM, SHAPINGS, Shaping
from esprobe.sampling.job import Job
from esprobe.spec import Condition
from esprobe.tasks import DataSet, Task

MOST_ITERATIONS = 1_000_000
MOST_MEMBERS = 100_000
MOST_ALPHA = 1000.0
LEAST_ALPHA = 1e-30
"""Coefficients are float32: with less they could become 0."""


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One ``train-es`` command.

    Attributes:
        sampling: model, task, engine, workers and prompts; its problems are the training problems, its one sigma is
            the population's, its seed the run's.
        eval_problems: first index and stop index of the problems on which trained models are evaluated.
        alpha: learning rate.
        population: members per iteration.
        iterations: how many the run shall have, those of earlier commands included; not part of the recipe.
        problems_per_iteration: training problems of one iteration; None for all.
        shaping: how fitness becomes a coefficient.
        antithetic: whether members come in pairs, of which the second subtracts the noise of the first.
        eval_every: iterations between evaluations; 0 for none.
    """

    sampling: Job
    eval_problems: tuple[int, int]
    alpha: float
    population: int
    iterations: int
    problems_per_iteration: int | None
    shaping: Shaping
    antithetic: bool
    eval_every: int

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageError: a value is out of range; names the option and the value.
        """
        first, stop = self.eval_problems
        sigmas = self.sampling.sigmas
        for wrong, message in (
            (
                len(sigmas) != 1 or not sigmas[0] > 0,
                f"--sigma must be positive, got {', '.join(map(str, sigmas))}: without noise all members of a "
                f"population are the same model",
            ),
            (
                not (math.isfinite(self.alpha) and LEAST_ALPHA <= self.alpha <= MOST_ALPHA),
                f"--alpha must be positive, from {LEAST_ALPHA:g} to {MOST_ALPHA:g}, got {self.alpha:g}",
            ),
            (
                not 2 <= self.population <= MOST_MEMBERS,
                f"--population must be from 2 to {MOST_MEMBERS:,}, got {self.population:,}: an update needs members "
                f"to compare",
            ),
            (
                self.antithetic and self.population % 2 != 0,
                f"--population must be even with --antithetic, because members come in pairs, got {self.population}",
            ),
            (
                not 1 <= self.iterations <= MOST_ITERATIONS,
                f"--iterations must be from 1 to {MOST_ITERATIONS:,}, got {self.iterations:,}",
            ),
            (
                self.problems_per_iteration is not None and self.problems_per_iteration < 1,
                f"--problems-per-iteration must be at least 1, got {self.problems_per_iteration}",
            ),
            (self.shaping not in SHAPINGS, f"--shaping must be {' or '.join(SHAPINGS)}, got {self.shaping!r}"),
            (self.eval_every < 0, f"--eval-every must be at least 1, or 0 for never, got {self.eval_every}"),
            (not 0 <= first < stop, f"--eval-problems must be FIRST:STOP with FIRST < STOP, got {first}:{stop}"),
        ):
            if wrong:
                raise UsageError(message)

    @property
    def sigma(self) -> float:
        """Standard deviation of the population's noise."""
        return self.sampling.sigmas[0]

    def evaluates(self, iteration: int) -> bool:
        """Whether the model after ``iteration`` updates is evaluated."""
        return bool(self.eval_every) and (iteration % self.eval_every == 0 or iteration == self.iterations)

    def recipe(self, greedy: Condition, scorer: str, problems: int) -> dict[str, Any]:
        """Everything that decides the run but its number of iterations, JSON-serialisable.

        Args:
            greedy: the base model's greedy condition.
            scorer: the scorer whose rewards are the fitness.
            problems: training problems that there are.
        """
        first, _ = self.sampling.problems
        return {
            "algorithm": ALGORITHM,
            "base": {key: value for key, value in greedy.identity.items() if key != "kind"},
            "scorer": scorer,
            "problems": [first, first + problems],
            "problems_per_iteration": self.problems_per_iteration or problems,
            "sigma": self.sigma,
            "alpha": self.alpha,
            "population": self.population,
            "shaping": self.shaping,
            "antithetic": self.antithetic,
            "noise": self.sampling.noise,
            "scope": self.sampling.scope,
            "seed": self.sampling.seed,
        }

    def debug(self) -> "TrainingJob":
        """The same job with 3 iterations of 4 members on the first 20 problems."""
        first, stop = self.eval_problems
        few = self.sampling.debug()
        least = len(range(*few.problems))
        return replace(
            self,
            sampling=few,
            eval_problems=(first, min(stop, first + 20)),
            population=min(self.population, 4),
            iterations=min(self.iterations, 3),
            problems_per_iteration=min(self.problems_per_iteration or least, least),
        )


def greedy_condition(job: TrainingJob, task: Task, data: DataSet, identity: ModelIdentity) -> Condition:
    """The greedy condition of the base model, from which all others of a run are made."""
    baseline = replace(job.sampling, baseline=True, sigmas=())
    ((greedy, _, _),) = baseline.conditions(task, data, identity)
    return greedy
