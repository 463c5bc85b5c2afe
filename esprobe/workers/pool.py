"""Whoever draws: asked for work in the order of the plan, gives back completions as they finish."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from esprobe.engines import StopCheck
from esprobe.errors import UsageError
from esprobe.workers.work import Delivery, Work
from esprobe.workers.worker import Ready, Worker


@dataclass(frozen=True)
class PoolOptions:
    """Who draws; no part of a condition.

    Attributes:
        workers: processes with an engine each; None takes one for each GPU that can be seen, at least one.
        workers_per_gpu: workers that share one GPU.
        ray: a Ray cluster's address, or "local" for one on this machine; None uses no Ray.
        stuck_s: seconds after which a worker that generates nothing is taken for stuck.
        loading_s: seconds that a worker may take to load its model.
    """

    workers: int | None = None
    workers_per_gpu: int = 1
    ray: str | None = None
    stuck_s: float = 600.0
    loading_s: float = 3600.0

    def __post_init__(self) -> None:
        """Refuse values that no run could mean.

        Raises:
            UsageError: names the option and its value.
        """
        for option, value in (("--workers", self.workers), ("--workers-per-gpu", self.workers_per_gpu)):
            if value is not None and value < 1:
                raise UsageError(f"{option} {value} leaves nobody to draw; use 1 or more")


class WorkerPool(Protocol):
    """One engine or many. Entering it loads what is needed; leaving it ends what it started."""

    ready: Ready
    """What the first worker that was ready said of itself."""

    set_aside: list[Work]
    """Work that was given up because it ended its worker again and again."""

    @property
    def size(self) -> int:
        """Workers that may draw at once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        """Completions as they finish, each with the work it belongs to, until ``works`` ends or ``stop()`` is true.

        Raises:
            EngineError: nobody is left to draw.
            ModelError: the model cannot answer such requests, or cannot be perturbed so.
        """


class InProcessPool:
    """A pool of one, in this process."""

    size = 1

    def __init__(self, worker: Worker) -> None:
        self.set_aside: list[Work] = []
        self._worker = worker
        self.ready = worker.ready

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        """One work after the other."""
        for work in works:
            if stop():
                return
            for delivery in self._worker.draw(work, stop):
                yield work, delivery
