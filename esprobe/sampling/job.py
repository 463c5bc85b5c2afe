"""A sampling command as values, and the conditions that it samples."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from esprobe import defaults
from esprobe.engines import EngineOptions, ModelIdentity, check_options
from esprobe.errors import UsageError
from esprobe.noise import SCHEMES
from esprobe.sampling.shard import WHOLE, Shard
from esprobe.spec import BASELINE_SEED, SIGMAS, Condition, Problem, is_sigma
from esprobe.store.model_names import check_model_name
from esprobe.tasks import DataSet, Task, task_location
from esprobe.tasks.prompts_digest import prompts_digest
from esprobe.tasks.selection import select_problems
from esprobe.workers.pool import PoolOptions
from esprobe.workers.worker import WorkerSpec

LEAST_TEMPERATURE = 0.01
"""vLLM silently raises smaller temperatures to this one, so the label of a condition would be wrong."""

DTYPES = ("auto", "float16", "bfloat16", "float32")

_DEBUG_PROBLEMS = 20
MOST_SAMPLES = 1_000_000
_DEBUG_SAMPLES = 32


@dataclass(frozen=True, kw_only=True)
class Job:
    """One sampling command as values. It samples ``temperatures`` or ``sigmas``; a plan may have both.

    Attributes:
        command: the command line, recorded with the session.
        model: hub id, checkpoint folder, or "tiny".
        name: what tables call the model from now on; None for what they call it anyway.
        engine: an engine's name, or "auto".
        task: the task's name, or the ``FILE.py:NAME`` that it is in.
        data: name or path of the task's data; None for its default.
        problems: first index and stop index (exclusive) of the problems to sample.
        samples: rollouts per problem and condition.
        seed: the first seed; draw i has seed ``seed + i``.
        max_tokens: tokens after which a completion is cut off.
        dtype: dtype of the weights, or "auto".
        prompt: the prompt style.
        scorer: the scorer of new rollouts; None for the task's default.
        baseline: whether to sample the greedy baseline too.
        stop_loops: whether completions that repeat themselves end early; part of the condition.
        stop: texts after which a completion ends; part of the condition.
        options: how the engine runs; not part of the condition.
        pool: which workers run engines; not part of the condition.
        shard: the part of the plan that is sampled.
        temperatures: one condition each.
        top_p: probability mass that tokens are sampled from, in (0, 1].
        top_k: number of tokens that are sampled from; -1 for all.
        sigmas: standard deviations of the weight noise; one condition each.
        noise: the noise scheme.
        scope: regular expression for the names of perturbed tensors; None for all.
        give_up_broken: whether a sigma whose first perturbations answer nothing is stopped; not part of the condition.
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
    name: str | None = None
    scorer: str | None = None
    stop_loops: bool = False
    stop: tuple[str, ...] = ()
    options: EngineOptions = EngineOptions()
    pool: PoolOptions = PoolOptions()
    shard: Shard = WHOLE
    temperatures: tuple[float, ...] = ()
    top_p: float = defaults.TOP_P
    top_k: int = defaults.TOP_K
    sigmas: tuple[float, ...] = ()
    noise: str = defaults.NOISE
    scope: str | None = None
    give_up_broken: bool = False

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageError: a value is out of range; names the option and the value.
        """
        self._check_ranges()
        if self.name is not None:
            check_model_name(self.name)
        # Only a resolved engine has options to check; replacing "auto" by an engine runs this again.
        check_options(self.engine, self.options)
        try:
            re.compile(self.scope or "")
        except re.error as err:
            raise UsageError(f"--scope must be a regular expression such as 'mlp', got {self.scope!r} ({err})") from err
        for temperature in self.temperatures:
            if not (math.isfinite(temperature) and temperature >= LEAST_TEMPERATURE):
                raise UsageError(
                    f"--temperature must be at least {LEAST_TEMPERATURE:g}, got {temperature:g}; for greedy decoding "
                    f"use --baseline, which is on by default"
                )
        for sigma in self.sigmas:
            if not is_sigma(sigma):
                raise UsageError(f"--sigma must be {SIGMAS}, such as 0.005, got {sigma}")

    def _check_ranges(self) -> None:
        first, stop = self.problems
        for wrong, message in (
            (not 0 <= first < stop, f"--problems must be FIRST:STOP with FIRST < STOP, got {first}:{stop}"),
            (self.samples < 1, f"--samples must be at least 1, got {self.samples}"),
            (
                self.samples > MOST_SAMPLES,
                f"--samples must be at most {MOST_SAMPLES:,}, got {self.samples:,}: no database is made for more, and "
                f"a plan cannot be made smaller again; use fewer, and passk's forecast for larger k",
            ),
            (self.max_tokens < 1, f"--max-tokens must be at least 1, got {self.max_tokens}"),
            (self.seed < 0, f"--seed must be at least 0, got {self.seed}"),
            (
                self.seed + self.samples > 2**63,
                f"--seed plus --samples must be at most 2**63, the largest that SQLite stores, got --seed {self.seed} "
                f"and --samples {self.samples}",
            ),
            (not 0 < self.top_p <= 1, f"--top-p must be in (0, 1], got {self.top_p:g}"),
            (
                self.top_k != -1 and self.top_k < 1,
                f"--top-k must be at least 1, or -1 for all tokens, got {self.top_k}",
            ),
            (
                "" in self.stop,
                "--stop must be a text such as '</answer>', got an empty one, which every completion has",
            ),
            (self.dtype not in DTYPES, f"--dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}"),
            (self.noise not in SCHEMES, f"--noise must be {' or '.join(SCHEMES)}, got {self.noise!r}"),
        ):
            if wrong:
                raise UsageError(message)

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

    def chosen_problems(self, data: DataSet) -> list[Problem]:
        """The problems that this job samples.

        Raises:
            UsageError: none of the problems is in the slice.
        """
        return list(select_problems(data, *self.problems))

    def prompt_style(self, task: Task) -> str:
        """The job's prompt style.

        Raises:
            UsageError: the task has no such style.
        """
        if self.prompt not in task.prompts:
            raise UsageError(f"--prompt must be {' or '.join(task.prompts)} for task {task.name}, got {self.prompt!r}")
        return self.prompt

    def chosen_scorer(self, task: Task) -> str:
        """The scorer of new rollouts.

        Raises:
            UsageError: the task has no such scorer.
        """
        scorers = task.scorers
        if self.scorer is not None and self.scorer not in scorers:
            raise UsageError(f"--scorer must be {' or '.join(scorers)} for task {task.name}, got {self.scorer!r}")
        if not scorers:
            raise UsageError(f"task {task.name} has no scorer, so nothing could be scored; add one to its scorers")
        return self.scorer or scorers[0]

    def worker_spec(self, identity: ModelIdentity) -> WorkerSpec:
        """What each worker has to load."""
        return WorkerSpec(
            model=self.model,
            dtype=identity.dtype,
            engine=self.engine,
            options=replace(self.options, perturbs=bool(self.sigmas)),
            task=task_location(self.task),
            data=self.data,
            prompt=self.prompt,
            lineage=identity.lineage,
        )

    def conditions(self, task: Task, data: DataSet, identity: ModelIdentity) -> Iterator[tuple[Condition, int, int]]:
        """(condition, first seed, samples) of each condition, the baseline first."""
        style = self.prompt_style(task)
        greedy = Condition(
            task=task.name,
            data_digest=data.digest,
            prompt=style,
            # Prompts are part of the condition, so that rollouts under a changed prompt are another condition.
            prompt_digest=prompts_digest(task, data, style),
            model=identity.model,
            model_fingerprint=identity.fingerprint,
            dtype=identity.dtype,
            engine=self.engine,
            max_tokens=self.max_tokens,
            stop_loops=self.stop_loops or None,
            stop=tuple(sorted(set(self.stop))) or None,
        )
        yield from self.drawn_like(greedy)

    def drawn_like(self, greedy: Condition) -> Iterator[tuple[Condition, int, int]]:
        """Like ``conditions``, given the condition of the greedy baseline."""
        if self.baseline:
            yield greedy, BASELINE_SEED, 1
        for temperature in dict.fromkeys(self.temperatures):
            drawn = replace(greedy, temperature=float(temperature), top_p=self.top_p, top_k=self.top_k)
            yield drawn, self.seed, self.samples
        for sigma in dict.fromkeys(self.sigmas):
            # Plus zero turns -0.0 into 0.0, which is the same sigma and must be the same condition.
            yield replace(greedy, sigma=float(sigma) + 0.0, noise=self.noise, scope=self.scope), self.seed, self.samples
