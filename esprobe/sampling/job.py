"""What one sampling command asks for, and the conditions it names."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from esprobe.engines import EngineOptions, ModelIdentity, check_options
from esprobe.errors import UsageError
from esprobe.noise import SCHEMES
from esprobe.sampling.shard import WHOLE, Shard
from esprobe.spec import BASELINE_SEED, SIGMAS, Condition, Problem, digest_of, is_sigma
from esprobe.tasks import Task
from esprobe.tasks.selection import select_problems
from esprobe.workers.pool import PoolOptions
from esprobe.workers.worker import WorkerSpec

LEAST_TEMPERATURE = 0.01
"""vLLM raises smaller temperatures to this one, so a smaller one would not be the condition that it says it is."""

DTYPES = ("auto", "float16", "bfloat16", "float32")

_DEBUG_PROBLEMS = 20
MOST_SAMPLES = 1_000_000
_DEBUG_SAMPLES = 32


@dataclass(frozen=True, kw_only=True)
class Job:
    """One sampling command, in values. Exactly one of ``temperatures`` and ``sigmas`` is not empty.

    Attributes:
        command: what was typed, for the session's record.
        problems: first index and stop index of the problems to sample.
        samples: rollouts wanted for each problem and condition.
        seed: the first seed; draw i has seed ``seed + i``.
        baseline: whether to draw the greedy baseline too.
        stop_loops: whether completions that repeat themselves end early; part of the condition.
        options: how the engine runs; no part of the condition.
        pool: who runs engines, likewise.
        shard: the share of the plan that is drawn.
    """

    command: str
    model: str
    engine: str
    task: str
    data: str | None
    problems: tuple[int, int]
    samples: int
    seed: int
    max_tokens: int
    dtype: str
    prompt: str
    baseline: bool
    stop_loops: bool = False
    options: EngineOptions = EngineOptions()
    pool: PoolOptions = PoolOptions()
    shard: Shard = WHOLE
    temperatures: tuple[float, ...] = ()
    top_p: float = 1.0
    top_k: int = -1
    sigmas: tuple[float, ...] = ()
    noise: str = "iid"
    scope: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that no run could mean.

        Raises:
            UsageError: names the value and what would do.
        """
        first, stop = self.problems
        for wrong, message in (
            (not 0 <= first < stop, f"--problems {first}:{stop} selects nothing; use FIRST:STOP with FIRST < STOP"),
            (self.samples < 1, f"--samples {self.samples} would draw nothing; use 1 or more"),
            (
                self.samples > MOST_SAMPLES,
                f"--samples {self.samples:,} is more than the {MOST_SAMPLES:,} rollouts of a problem that one file is "
                f"made for, and a plan is never shrunk again; use fewer, and passk's forecast for larger k",
            ),
            (self.max_tokens < 1, f"--max-tokens {self.max_tokens} leaves no room for an answer; use 1 or more"),
            (self.seed < 0, f"--seed {self.seed} is negative, and seeds count from 0 up; use 0 or more"),
            (self.seed + self.samples > 2**63, f"--seed {self.seed} is past what SQLite can store (2**63 - 1)"),
            (not 0 < self.top_p <= 1, f"--top-p {self.top_p:g} is no share of probability; use one above 0, up to 1"),
            (
                self.top_k != -1 and self.top_k < 1,
                f"--top-k {self.top_k} keeps no token; use 1 or more, or -1 for all tokens",
            ),
            (self.dtype not in DTYPES, f"no dtype is called {self.dtype!r}; use --dtype {', '.join(DTYPES)}"),
            (self.noise not in SCHEMES, f"--noise {self.noise} is no noise scheme; use {' or '.join(SCHEMES)}"),
        ):
            if wrong:
                raise UsageError(message)
        # What ``auto`` means is known only once it is resolved, and putting the engine in its place asks again.
        check_options(self.engine, self.options)
        try:
            re.compile(self.scope or "")
        except re.error as err:
            raise UsageError(f"--scope {self.scope!r} is no regular expression ({err}); use one such as 'mlp'") from err
        for temperature in self.temperatures:
            if not (math.isfinite(temperature) and temperature >= LEAST_TEMPERATURE):
                raise UsageError(
                    f"temperature {temperature:g} cannot be sampled: it must be a number of at least "
                    f"{LEAST_TEMPERATURE:g}; greedy decoding is the baseline, which is drawn unless --no-baseline"
                )
        for sigma in self.sigmas:
            if not is_sigma(sigma):
                raise UsageError(
                    f"sigma {sigma} is no standard deviation for weights: it must be {SIGMAS}, such as 0.005"
                )

    @property
    def seeds(self) -> range:
        """The seeds of each temperature and sigma."""
        return range(self.seed, self.seed + self.samples)

    def debug(self) -> "Job":
        """The same job on the first 20 problems, 32 samples, and its first temperature or sigma only."""
        first, stop = self.problems
        return replace(
            self,
            problems=(first, min(stop, first + _DEBUG_PROBLEMS)),
            samples=min(self.samples, _DEBUG_SAMPLES),
            temperatures=self.temperatures[:1],
            sigmas=self.sigmas[:1],
        )

    def chosen_problems(self, task: Task) -> list[Problem]:
        """The problems this job samples.

        Raises:
            UsageError: the slice holds none of the task's problems.
        """
        return list(select_problems(task, *self.problems))

    def prompt_style(self, task: Task) -> str:
        """The prompt style asked for.

        Raises:
            UsageError: the task has no such style.
        """
        if self.prompt not in task.prompts:
            raise UsageError(
                f"task {task.name} has no prompt style {self.prompt!r}; use --prompt {' or '.join(task.prompts)}"
            )
        return self.prompt

    def worker_spec(self, identity: ModelIdentity) -> WorkerSpec:
        """What whoever draws this has to load."""
        return WorkerSpec(
            model=self.model,
            dtype=identity.dtype,
            engine=self.engine,
            options=replace(self.options, perturbs=bool(self.sigmas)),
            task=self.task,
            data=self.data,
            prompt=self.prompt,
        )

    def conditions(self, task: Task, identity: ModelIdentity) -> Iterator[tuple[Condition, int, int]]:
        """(condition, first seed, samples) of everything asked for, the baseline first."""
        style = self.prompt_style(task)
        greedy = Condition(
            task=task.name,
            data_digest=task.data_digest,
            prompt=style,
            # The wording is part of the condition: if it ever changes, old and new rollouts stay apart.
            prompt_digest=digest_of([task.prompt(problem, style).digest for problem in task.problems]),
            model=identity.model,
            model_fingerprint=identity.fingerprint,
            dtype=identity.dtype,
            engine=self.engine,
            max_tokens=self.max_tokens,
            stop_loops=self.stop_loops or None,
        )
        yield from self.drawn_like(greedy)

    def drawn_like(self, greedy: Condition) -> Iterator[tuple[Condition, int, int]]:
        """As ``conditions``, where the greedy baseline's condition is known."""
        if self.baseline:
            yield greedy, BASELINE_SEED, 1
        for temperature in dict.fromkeys(self.temperatures):
            drawn = replace(greedy, temperature=float(temperature), top_p=self.top_p, top_k=self.top_k)
            yield drawn, self.seed, self.samples
        for sigma in dict.fromkeys(self.sigmas):
            # Plus zero: -0.0 is the same sigma as 0.0, and must not be another condition.
            yield replace(greedy, sigma=float(sigma) + 0.0, noise=self.noise, scope=self.scope), self.seed, self.samples
