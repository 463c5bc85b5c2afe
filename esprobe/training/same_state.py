"""A pool whose workers must hold the same trained weights."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from esprobe.engines import StopCheck
from esprobe.errors import EngineError
from esprobe.workers.pool import WorkerPool
from esprobe.workers.work import Delivery, Work
from esprobe.workers.worker import Ready


class SameState:
    """Passes everything on, and holds the digests of trained weights that workers report against each other.

    Attributes:
        states: the digest of the weights of each trajectory that was drawn from, by the trajectory's own digest.
        norms: the norms of its update, likewise.
    """

    def __init__(self, pool: WorkerPool, states: Mapping[str, str]) -> None:
        """Watch ``pool``; ``states`` are those that are known already, from earlier sessions."""
        self._pool = pool
        self.states = dict(states)
        self.norms: dict[str, Mapping[str, tuple[float, float]]] = {}

    @property
    def ready(self) -> Ready:
        """What the first worker that was ready reported."""
        return self._pool.ready

    @property
    def joined(self) -> list[Ready]:
        """What every worker that was ready reported."""
        return self._pool.joined

    @property
    def set_aside(self) -> list[Work]:
        """Work that was given up."""
        return self._pool.set_aside

    @property
    def size(self) -> int:
        """Workers that may draw at once."""
        return self._pool.size

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.__exit__(kind, error, trace)

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        """As the pool does.

        Raises:
            EngineError: two workers hold different weights after the same training; nothing that the second one drew
                in this work has been handed on.
        """
        for work, delivery in self._pool.draw(works, stop):
            if delivery.state is not None and work.trajectory is not None:
                self._check(work, delivery.state)
                if delivery.norms:
                    self.norms[work.trajectory.digest] = delivery.norms
            yield work, delivery

    def _check(self, work: Work, state: str) -> None:
        assert work.trajectory is not None
        expected = self.states.setdefault(work.trajectory.digest, state)
        if state != expected:
            raise EngineError(
                f"two workers have different weights after the same {len(work.trajectory.updates):,} updates (digests "
                f"{expected[:12]} and {state[:12]}), so what they draw would belong to two models; everything stored "
                f"so far is safe. Use machines of one kind, delete the folder of snapshots beside the database, and "
                f"run the same command again"
            )
