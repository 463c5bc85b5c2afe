"""The options of commands that sample, in groups, and the job that they ask for."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from esprobe import defaults
from esprobe.cli import options
from esprobe.cli.sampling_run import command_line
from esprobe.cli.task_options import TaskOptions

if TYPE_CHECKING:
    from esprobe.engines import EngineOptions
    from esprobe.sampling.job import Job
    from esprobe.training.job import TrainingJob
    from esprobe.workers.pool import PoolOptions


@dataclass(frozen=True)
class VllmOptions:
    """How vLLM runs."""

    max_num_seqs: options.MaxNumSeqs = defaults.MAX_NUM_SEQS
    gpu_memory_utilization: options.GpuMemory = defaults.GPU_MEMORY_UTILIZATION
    enforce_eager: options.EnforceEager = False
    tensor_parallel_size: options.TensorParallel = defaults.TENSOR_PARALLEL_SIZE
    batch_invariant: options.BatchInvariant = False

    def engine_options(self, **others: Any) -> "EngineOptions":
        """These options together with ``others``, which are fields of ``EngineOptions``.

        Raises:
            UsageError: a value is out of range.
        """
        from esprobe.engines import EngineOptions

        return EngineOptions(**asdict(self), **others)


@dataclass(frozen=True)
class WorkerOptions:
    """How many workers run engines, where, and how long they may take."""

    workers: options.Workers = None
    workers_per_gpu: options.WorkersPerGpu = defaults.WORKERS_PER_GPU
    ray: options.RayAddress = None
    stuck_timeout: options.StuckTimeout = defaults.STUCK_S
    load_timeout: options.LoadTimeout = defaults.LOADING_S

    def pool_options(self) -> "PoolOptions":
        """These options as the worker pool takes them.

        Raises:
            UsageError: a value is out of range.
        """
        from esprobe.workers.pool import PoolOptions

        return PoolOptions(
            workers=self.workers,
            workers_per_gpu=self.workers_per_gpu,
            ray=self.ray,
            stuck_s=self.stuck_timeout,
            loading_s=self.load_timeout,
        )


@dataclass(frozen=True)
class TokenOptions:
    """How tokens are sampled from the model's distribution."""

    top_p: options.TopP = defaults.TOP_P
    top_k: options.TopK = defaults.TOP_K


@dataclass(frozen=True)
class NoiseOptions:
    """How weights are perturbed."""

    noise: options.NoiseScheme = defaults.NOISE
    scope: options.Scope = None


@dataclass(frozen=True)
class ModelOptions:
    """Which model answers, what it is asked, how it is scored, and where it runs: what sampling and training share."""

    model: options.ModelName = defaults.MODEL
    name: options.GivenName = None
    max_tokens: options.MaxTokens = None
    task: options.TaskName = defaults.TASK
    data: options.DataName = None
    prompt: options.PromptStyle = None
    scorer: options.ScorerName = None
    engine: options.EngineName = defaults.ENGINE
    dtype: options.Dtype = defaults.DTYPE
    batch_size: options.BatchSize = defaults.BATCH_SIZE
    stop_loops: options.StopLoops = False
    stop: options.StopTexts = None

    def _for_job(self, vllm: VllmOptions, workers: WorkerOptions, own: TaskOptions) -> dict[str, Any]:
        """The fields of ``Job`` that these options decide, and those of a subclass by their names.

        Args:
            vllm: how vLLM runs.
            workers: how many workers there are, and where.
            own: the defaults that the task has.
        """
        given = asdict(self)
        return given | {
            "command": command_line(),
            "options": vllm.engine_options(batch_size=given.pop("batch_size")),
            "pool": workers.pool_options(),
            "max_tokens": own.max_tokens(self.max_tokens),
            "prompt": own.prompt(self.prompt),
            "stop": tuple(self.stop or ()),
        }


@dataclass(frozen=True)
class SamplingOptions(ModelOptions):
    """What is sampled, and from which model.

    Attributes:
        most_problems: how many of the task's test problems are sampled where no slice is given; None for all.
    """

    most_problems: ClassVar[int | None] = None

    problems: options.ProblemSlice = None
    samples: options.Samples = defaults.SAMPLES
    seed: options.Seed = defaults.SEED

    def job(self, vllm: VllmOptions, workers: WorkerOptions, *groups: TokenOptions | NoiseOptions, **own: Any) -> "Job":
        """The job that the options ask for; ``own`` are the fields of ``Job`` that are not in these groups.

        Raises:
            UsageError: a value is out of range, or there is no such task.
            EsprobeError: the task's data, on which its own slices depend, cannot be read.
        """
        from esprobe.sampling.job import Job

        of_task = TaskOptions(self.task, self.data)
        given = self._for_job(vllm, workers, of_task)
        given["problems"] = of_task.problems(self.problems, most=self.most_problems)
        for group in groups:
            given |= asdict(group)
        return Job(**given, **own)


@dataclass(frozen=True)
class TrainingOptions(ModelOptions):
    """What is trained, and how."""

    problems: options.TrainingSlice = None
    eval_problems: options.EvalSlice = None
    sigma: options.EsSigma = defaults.ES_SIGMA
    alpha: options.Alpha = defaults.ES_ALPHA
    population: options.Population = defaults.ES_POPULATION
    iterations: options.Iterations = defaults.ES_ITERATIONS
    problems_per_iteration: options.ProblemsPerIteration = None
    shaping: options.ShapingName = defaults.ES_SHAPING
    antithetic: options.Antithetic = False
    eval_every: options.EvalEvery = defaults.EVAL_EVERY
    seed: options.RunSeed = defaults.SEED

    def job(self, vllm: VllmOptions, workers: WorkerOptions, noise: NoiseOptions) -> "TrainingJob":
        """The training that the options ask for.

        Raises:
            UsageError: a value is out of range, or there is no such task.
            EsprobeError: the task's data, on which its own slices depend, cannot be read.
        """
        from esprobe.sampling.job import Job
        from esprobe.training.job import TrainingJob

        of_task = TaskOptions(self.task, self.data)
        given = self._for_job(vllm, workers, of_task) | asdict(noise)
        given["problems"] = of_task.training(self.problems)
        own = {name: given.pop(name) for name in _OF_TRAINING}
        own["eval_problems"] = of_task.problems(own["eval_problems"], "--eval-problems")
        sampling = Job(samples=1, baseline=False, sigmas=(given.pop("sigma"),), **given)
        return TrainingJob(sampling=sampling, **own)


_OF_TRAINING = (
    *("eval_problems", "alpha", "population", "iterations", "problems_per_iteration", "shaping", "antithetic"),
    "eval_every",
)
"""Options that a training job has beside those of its sampling."""
