"""The options of commands that sample, in groups, and the job that they ask for."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from esprobe import defaults
from esprobe.cli import options
from esprobe.cli.sampling_run import command_line

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
class SamplingOptions:
    """What is sampled, and from which model."""

    model: options.ModelName = defaults.MODEL
    problems: options.ProblemSlice = defaults.PROBLEMS
    samples: options.Samples = defaults.SAMPLES
    seed: options.Seed = defaults.SEED
    max_tokens: options.MaxTokens = defaults.MAX_TOKENS
    task: options.TaskName = defaults.TASK
    data: options.DataName = None
    prompt: options.PromptStyle = defaults.PROMPT
    engine: options.EngineName = defaults.ENGINE
    dtype: options.Dtype = defaults.DTYPE
    batch_size: options.BatchSize = defaults.BATCH_SIZE
    stop_loops: options.StopLoops = False

    def job(self, vllm: VllmOptions, workers: WorkerOptions, *groups: TokenOptions | NoiseOptions, **own: Any) -> "Job":
        """The job that the options ask for; ``own`` are the fields of ``Job`` that are not in these groups.

        Raises:
            UsageError: a value is out of range.
        """
        from esprobe.sampling.job import Job

        given = asdict(self)
        running = vllm.engine_options(batch_size=given.pop("batch_size"))
        given["problems"] = options.parse_slice(self.problems)
        for group in groups:
            given |= asdict(group)
        return Job(command=command_line(), options=running, pool=workers.pool_options(), **given, **own)


@dataclass(frozen=True)
class TrainingOptions:
    """What is trained, and how."""

    model: options.ModelName = defaults.MODEL
    problems: options.TrainingSlice = defaults.TRAINING_PROBLEMS
    eval_problems: options.EvalSlice = defaults.PROBLEMS
    sigma: options.EsSigma = defaults.ES_SIGMA
    alpha: options.Alpha = defaults.ES_ALPHA
    population: options.Population = defaults.ES_POPULATION
    iterations: options.Iterations = defaults.ES_ITERATIONS
    problems_per_iteration: options.ProblemsPerIteration = None
    shaping: options.ShapingName = defaults.ES_SHAPING
    antithetic: options.Antithetic = False
    eval_every: options.EvalEvery = defaults.EVAL_EVERY
    seed: options.RunSeed = defaults.SEED
    max_tokens: options.MaxTokens = defaults.MAX_TOKENS
    task: options.TaskName = defaults.TASK
    data: options.DataName = None
    prompt: options.PromptStyle = defaults.PROMPT
    engine: options.EngineName = defaults.ENGINE
    dtype: options.Dtype = defaults.DTYPE
    batch_size: options.BatchSize = defaults.BATCH_SIZE
    stop_loops: options.StopLoops = False

    def job(self, vllm: VllmOptions, workers: WorkerOptions, noise: NoiseOptions) -> "TrainingJob":
        """The training that the options ask for.

        Raises:
            UsageError: a value is out of range.
        """
        from esprobe.sampling.job import Job
        from esprobe.training.job import TrainingJob

        given = asdict(self)
        own = {name: given.pop(name) for name in _OF_TRAINING}
        running = vllm.engine_options(batch_size=given.pop("batch_size"))
        given |= asdict(noise) | {"problems": options.parse_slice(self.problems)}
        sampling = Job(
            command=command_line(),
            options=running,
            pool=workers.pool_options(),
            samples=1,
            baseline=False,
            sigmas=(given.pop("sigma"),),
            **given,
        )
        evaluated = options.parse_slice(own.pop("eval_problems"), "--eval-problems")
        return TrainingJob(sampling=sampling, eval_problems=evaluated, **own)


_OF_TRAINING = (
    *("eval_problems", "alpha", "population", "iterations", "problems_per_iteration", "shaping", "antithetic"),
    "eval_every",
)
"""Options that a training job has beside those of its sampling."""
