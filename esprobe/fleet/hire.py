"""From the options of a command to a crew."""

from collections.abc import Callable
from dataclasses import replace

from esprobe.doctor import refuse
from esprobe.engines import ModelIdentity
from esprobe.fleet.crew import Crew, CrewOptions, Solo
from esprobe.fleet.devices import environments, visible_gpus
from esprobe.fleet.processes import Processes
from esprobe.fleet.ray_actors import RayActors
from esprobe.fleet.team import Team
from esprobe.fleet.worker import Order, Papers, Worker
from esprobe.tasks import Task


def check_order(order: Order, identity: ModelIdentity) -> None:
    """Turn away, before anything is loaded, a model that is to be perturbed and by its configuration cannot be.

    Raises:
        PerturbationError: it is quantised, or a mixture of experts.
    """
    if order.options.perturbs and order.engine != "scripted":
        from esprobe.engines.checkpoint import find_checkpoint

        refuse(find_checkpoint(identity.model))


def hire(
    order: Order,
    options: CrewOptions,
    task: Task,
    identity: ModelIdentity,
    expected: Papers,
    warn: Callable[[str], None],
) -> Crew:
    """A crew that has yet to be entered; one worker needs no process of its own, and is loaded here.

    Args:
        order: what every worker loads.
        options: how many workers, and where.
        task: the order's task, for a worker in this process.
        identity: the order's model, likewise.
        expected: what other workers must be, to be let in.
        warn: told of workers that die.

    Raises:
        EsprobeError: there are not enough GPUs, or the model or engine cannot be used.
    """
    if options.ray is not None:
        order = _sharing(order, options)
        share = order.options.tensor_parallel_size / options.workers_per_gpu
        actors = RayActors(options.ray, order, options.workers, share)
        return Team(actors, actors.size, expected, warn, options.stuck_s)
    gpus = [] if order.engine == "scripted" else visible_gpus()
    environment = environments(gpus, options.workers, options.workers_per_gpu, order.options.tensor_parallel_size)
    if len(environment) == 1:
        return Solo(Worker.load(order, task, identity))
    processes = Processes(_sharing(order, options), environment)
    return Team(processes, len(environment), expected, warn, options.stuck_s)


def _sharing(order: Order, options: CrewOptions) -> Order:
    """The order for workers that share a GPU: each gets its part of the memory."""
    share = order.options.gpu_memory_utilization / options.workers_per_gpu
    return replace(order, options=replace(order.options, gpu_memory_utilization=share))
