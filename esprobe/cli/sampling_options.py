"""What every command that draws is told, and the job that it comes to."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from esprobe.cli import options
from esprobe.cli.drawing import typed

if TYPE_CHECKING:
    from esprobe.engines import EngineOptions
    from esprobe.sampling.job import Job
    from esprobe.workers.pool import PoolOptions


@dataclass(frozen=True)
class VllmOptions:
    """How vLLM runs."""

    max_num_seqs: options.MaxNumSeqs = 512
    gpu_memory_utilization: options.GpuMemory = 0.85
    enforce_eager: options.EnforceEager = False
    tensor_parallel_size: options.TensorParallel = 1
    batch_invariant: options.BatchInvariant = False

    def engine_options(self, **others: Any) -> "EngineOptions":
        """With the other options of engines.

        Raises:
            UsageError: no engine could run so.
        """
        from esprobe.engines import EngineOptions

        return EngineOptions(**asdict(self), **others)


@dataclass(frozen=True)
class Workers:
    """Who draws."""

    workers: options.Workers = None
    workers_per_gpu: options.WorkersPerGpu = 1
    ray: options.RayAddress = None

    def pool_options(self) -> "PoolOptions":
        """As values.

        Raises:
            UsageError: nobody would draw.
        """
        from esprobe.workers.pool import PoolOptions

        return PoolOptions(**asdict(self))


@dataclass(frozen=True)
class SamplingOptions:
    """What is drawn, and from which model."""

    model: options.ModelName = options.DEFAULT_MODEL
    problems: options.ProblemSlice = "200:2200"
    samples: options.Samples = 1024
    seed: options.Seed = 42
    max_tokens: options.MaxTokens = 1024
    task: options.TaskName = "countdown"
    data: options.DataName = None
    prompt: options.PromptStyle = "chat"
    engine: options.EngineName = "auto"
    dtype: options.Dtype = "auto"
    batch_size: options.BatchSize = 64
    stop_loops: options.StopLoops = False

    def job(self, vllm: VllmOptions, **own: Any) -> "Job":
        """The job; ``own`` is what commands differ in.

        Raises:
            UsageError: no run could mean that.
        """
        from esprobe.sampling.job import Job

        given = asdict(self)
        running = vllm.engine_options(batch_size=given.pop("batch_size"))
        given["problems"] = options.parse_slice(self.problems)
        return Job(command=typed(), options=running, **given, **own)
