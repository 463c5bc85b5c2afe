"""A pool of engine workers: takes work in plan order, yields completions as they finish."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from esprobe.defaults import LOADING_S, STUCK_S, WORKERS_PER_GPU
from esprobe.engines import StopCheck
from esprobe.errors import UsageError
from esprobe.workers.watchdog import Watchdog
from esprobe.workers.work import Delivery, Work
from esprobe.workers.worker import Ready, Worker


@dataclass(frozen=True)
class PoolOptions:
    """How many workers there are, and where; not part of a condition.

    Attributes:
        workers: processes with an engine each; None for one per visible GPU, at least one.
        workers_per_gpu: workers that share one GPU.
        ray: a Ray cluster's address, or "local" for one on this machine; None uses no Ray.
        stuck_s: seconds after which a worker that generates nothing counts as stuck.
        loading_s: seconds after which a worker that is still loading counts as stuck: a large model may have to be
            downloaded first.
        apart: whether a single worker, too, gets a process of its own, whose end frees all memory for the next one.
    """

    workers: int | None = None
    workers_per_gpu: int = WORKERS_PER_GPU
    ray: str | None = None
    stuck_s: float = STUCK_S
    loading_s: float = LOADING_S
    apart: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no run could use.

        Raises:
            UsageError: names the option and its value.
        """
        for option, value in (("--workers", self.workers), ("--workers-per-gpu", self.workers_per_gpu)):
            if value is not None and value < 1:
                raise UsageError(f"{option} must be at least 1, got {value}")
        for option, seconds in (("--stuck-timeout", self.stuck_s), ("--load-timeout", self.loading_s)):
            if not (math.isfinite(seconds) and seconds > 0):
                raise UsageError(f"{option} must be a positive number of seconds, got {seconds:g}")


class WorkerPool(Protocol):
    """One engine or many. Entering it loads what is needed; leaving it ends what it started."""

    @property
    def ready(self) -> Ready:
        """What the first worker that was ready reported."""

    @property
    def joined(self) -> list[Ready]:
        """What every worker that was ready reported, restarted ones again, in order; grows while the pool draws."""

    @property
    def set_aside(self) -> list[Work]:
        """Work that was given up because it ended its worker again and again."""

    @property
    def size(self) -> int:
        """Workers that may draw at once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        """Completions as they finish, each with its work, until ``works`` ends or ``stop()`` is true.

        Raises:
            EngineError: no worker is left.
            ModelError: the model cannot answer such requests, or cannot be perturbed so.
        """


class InProcessPool:
    """A pool of one worker, in this process; a stuck engine ends the process."""

    size = 1

    def __init__(self, worker: Worker, stuck_s: float = PoolOptions.stuck_s) -> None:
        self.set_aside: list[Work] = []
        self._worker = worker
        self._stuck_s = stuck_s
        self._watchdog = Watchdog()
        self.ready = worker.ready
        self.joined = [worker.ready]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        """One work after the other."""

        def checked() -> bool:
            self._watchdog.progress()  # engines call this at every token
            return stop()

        for work in works:
            if stop():
                return
            deliveries = self._worker.draw(work, checked)
            while True:
                # Only the engine is watched, not what the consumer does between two deliveries.
                with self._watchdog.watching(f"the engine, drawing {work.label},", self._stuck_s):
                    delivery = next(deliveries, None)
                if delivery is None:
                    break
                yield work, delivery
