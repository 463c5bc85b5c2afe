"""From the options of a command to a pool."""

from collections.abc import Callable
from dataclasses import replace

from esprobe.doctor import refuse
from esprobe.engines import ModelIdentity, find_engine
from esprobe.tasks import DataSet, Task
from esprobe.workers.devices import environments, visible_gpus
from esprobe.workers.pool import InProcessPool, PoolOptions, WorkerPool
from esprobe.workers.processes import Processes
from esprobe.workers.ray_actors import RayActors
from esprobe.workers.supervisor import Supervisor
from esprobe.workers.watchdog import Watchdog
from esprobe.workers.worker import Worker, WorkerFingerprint, WorkerSpec


def check_spec(spec: WorkerSpec, identity: ModelIdentity) -> None:
    """Refuse, before anything is loaded, a model that is to be perturbed and by its configuration cannot be.

    Raises:
        PerturbationError: it is quantised, or a mixture of experts.
    """
    if spec.options.perturbs and find_engine(spec.engine).traits.has_weights:
        from esprobe.engines.checkpoint import find_checkpoint

        refuse(find_checkpoint(identity.checkpoint))


def start_pool(
    spec: WorkerSpec,
    options: PoolOptions,
    task: Task,
    data: DataSet,
    identity: ModelIdentity,
    expected: WorkerFingerprint,
    warn: Callable[[str], None],
) -> WorkerPool:
    """A pool that has yet to be entered; a single worker is loaded in this process, unless ``options.apart``.

    Args:
        spec: what every worker loads.
        options: how many workers, and where.
        task: the task that ``spec`` names, for a worker in this process.
        data: the spec's data set, likewise.
        identity: the model that ``spec`` names, likewise.
        expected: the fingerprint that other workers must have.
        warn: called with a message for each worker that dies or is rejected.

    Raises:
        EsprobeError: there are not enough GPUs, or the model or engine cannot be used.
    """
    if options.ray is not None:
        spec = _sharing(spec, options)
        share = spec.options.tensor_parallel_size / options.workers_per_gpu
        actors = RayActors(options.ray, spec, options.workers, share)
        return Supervisor(actors, actors.size, expected, warn, options)
    gpus = visible_gpus() if find_engine(spec.engine).traits.uses_gpu else []
    environment = environments(gpus, options.workers, options.workers_per_gpu, spec.options.tensor_parallel_size)
    if len(environment) == 1 and not options.apart:
        with Watchdog().watching(f"loading {spec.model}", options.loading_s):
            worker = Worker.load(spec, task, data, identity, expected.prompts)
        return InProcessPool(worker, options.stuck_s)
    processes = Processes(_sharing(spec, options), environment)
    return Supervisor(processes, len(environment), expected, warn, options)


def _sharing(spec: WorkerSpec, options: PoolOptions) -> WorkerSpec:
    """The spec of workers that share a GPU: each gets its part of the memory."""
    share = spec.options.gpu_memory_utilization / options.workers_per_gpu
    return replace(spec, options=replace(spec.options, gpu_memory_utilization=share))
