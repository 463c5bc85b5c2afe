"""Many workers: which one gets which work, and what happens to it when one of them dies.

Work belongs to the supervisor and not to a worker: the requests that a dead worker has not answered go to the next
idle one. Two bounds keep one bad machine, or one bad unit, from stopping the rest: a worker that dies again and again
is given up, and work that kills its worker again and again is set aside. A completion that arrives resets both counts.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from esprobe.engines import StopCheck
from esprobe.errors import EngineError, EsprobeError
from esprobe.records import several_devices
from esprobe.workers.pool import PoolOptions
from esprobe.workers.transport import Exited, Failure, Finished, Message, Transport
from esprobe.workers.work import Delivery, Key, Work
from esprobe.workers.worker import Ready, WorkerFingerprint

RESTARTS = 5
"""Times in a row that a worker is restarted without having answered anything in between."""

DEADLY = 3
"""Workers in a row that one work may end, none of which has answered any of it, before it is set aside."""

_WAIT_S = 0.5
_GAP = 0.1
"""Share of the stuck timeout: a supervisor that has not received for longer was itself suspended (Ctrl-Z, a locked
file), and must not blame the workers for it."""
_SHUTDOWN_S = 30.0


@dataclass
class WorkerState:
    """One worker, over all its restarts.

    Attributes:
        deaths: in a row, without an answer in between.
        work_deaths: workers in a row that its current work has ended before.
        last_message_at: when its last message arrived, or when it was last given something to do.
    """

    number: int
    place: str = ""
    ready: bool = False
    given_up: bool = False
    work: Work | None = None
    answered: set[Key] = field(default_factory=set)
    deaths: int = 0
    work_deaths: int = 0
    last_message_at: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"worker {self.number}" + (f" ({self.place})" if self.place else "")


class Supervisor:
    """A pool of workers behind one transport."""

    def __init__(
        self,
        transport: Transport,
        size: int,
        expected: WorkerFingerprint,
        warn: Callable[[str], None],
        options: PoolOptions,
    ) -> None:
        """``warn`` is called for every worker that dies or is rejected, and for all work that is set aside."""
        self.size = size
        self.ready: Ready
        self.joined: list[Ready] = []
        self.set_aside: list[Work] = []
        self._transport = transport
        self._workers = [WorkerState(number) for number in range(1, size + 1)]
        self._expected = expected
        self._warn = warn
        self._options = options
        self._requeued: deque[tuple[Work, int]] = deque()
        self._received_at = time.monotonic()

    def __enter__(self) -> Self:
        """Start all workers, and wait until the first is ready.

        Raises:
            EsprobeError: none could be started.
        """
        try:
            for worker in self._workers:
                self._start(worker)
            while not any(worker.ready for worker in self._workers):
                for _ in self._receive():
                    pass
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for worker in self._workers:
            if not worker.ready:  # a worker that is loading has nothing to lose, and may load for long
                self._transport.kill(worker.number)
        self._transport.close()

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        """Assign work, in its order, to idle workers."""
        more = True
        while not stop():
            for worker in self._workers:
                if worker.ready and worker.work is None:
                    more = self._assign(worker, works)
            if not (more or self._requeued or any(worker.work for worker in self._workers)):
                return
            yield from self._receive()
        yield from self._drain()

    def _assign(self, worker: WorkerState, works: Iterator[Work]) -> bool:
        """Give a worker its next work; whether there was any."""
        if self._requeued:
            worker.work, worker.work_deaths = self._requeued.popleft()
        else:
            worker.work, worker.work_deaths = next(works, None), 0
        if worker.work is None:
            return False
        worker.answered, worker.last_message_at = set(), time.monotonic()
        self._transport.assign(worker.number, worker.work)
        return True

    def _receive(self) -> Iterator[tuple[Work, Delivery]]:
        if all(worker.given_up for worker in self._workers):
            raise EngineError(
                f"none of the {self.size} workers is left, so nothing more can be drawn; what was drawn is stored. "
                f"The warnings above say why they ended; --workers 1 runs the engine in this process, where its own "
                f"error can be seen"
            )
        for number, message in self._transport.receive(_WAIT_S):
            yield from self._handle(self._workers[number - 1], message)
        self._forgive_gap()
        for worker in self._workers:
            self._check_heartbeat(worker)

    def _forgive_gap(self) -> None:
        """Do not count time in which this process itself was suspended as silence of the workers."""
        now = time.monotonic()
        gap, self._received_at = now - self._received_at, now
        if gap > _WAIT_S + _GAP * self._options.stuck_s:
            for worker in self._workers:
                worker.last_message_at = min(worker.last_message_at + gap, now)

    def _handle(self, worker: WorkerState, message: Message) -> Iterator[tuple[Work, Delivery]]:
        worker.last_message_at = time.monotonic()
        match message:
            case Ready():
                self._admit(worker, message)
            case Delivery():
                assert worker.work is not None
                if message.completions:
                    requests = (completion.request for completion in message.completions)
                    worker.answered.update(Key(r.problem_id, r.problem_index, r.seed) for r in requests)
                    worker.deaths = worker.work_deaths = 0
                yield worker.work, message
            case Finished():
                worker.work = None
            case Failure(EngineError() as error):
                self._transport.kill(worker.number)
                self._handle_death(worker, f"failed: {error}")
            case Failure(error, place):
                if worker.ready:
                    raise error  # every worker would fail on this work in the same way
                self._reject(worker, error, place)
            case Exited(reason):
                self._handle_death(worker, reason)

    def _admit(self, worker: WorkerState, ready: Ready) -> None:
        worker.place = ready.place
        wrong = ready.fingerprint.differences(self._expected)
        if wrong:
            worker.given_up = True
            self._transport.kill(worker.number)
            self._warn(
                f"{worker.name} is rejected before it draws anything, because its rollouts would belong to another "
                f"condition ({'; '.join(wrong)}); fix that and run the same command again"
            )
            return
        mixed = several_devices([*(other.hardware for other in self.joined), ready.hardware])
        if mixed and not several_devices(other.hardware for other in self.joined):
            self._warn(
                f"{worker.name} computes on another kind of device than the others ({' and '.join(mixed)}), and the "
                f"same seed may give another completion on each; use workers on devices of one kind"
            )
        worker.ready = True
        self.joined.append(ready)
        self.ready = self.joined[0]

    def _reject(self, worker: WorkerState, error: EsprobeError, place: str) -> None:
        """Give up a worker that cannot load what this process could: a problem of its machine, unless all fail."""
        worker.given_up, worker.place = True, place
        self._transport.kill(worker.number)
        if all(other.given_up for other in self._workers):
            raise error
        self._warn(f"{worker.name} cannot load the engine or the data, and is given up: {error}")

    def _check_heartbeat(self, worker: WorkerState) -> None:
        if worker.given_up or (worker.ready and worker.work is None):
            return
        limit = self._options.stuck_s if worker.ready else self._options.loading_s
        if time.monotonic() - worker.last_message_at > limit:
            self._transport.kill(worker.number)
            doing = "generated" if worker.ready else "loaded"
            self._handle_death(worker, f"is stuck: it has {doing} nothing for {limit:g} s, and was killed")

    def _handle_death(self, worker: WorkerState, reason: str) -> None:
        """Requeue the work of a worker that has died and restart it, or give up either after too many attempts."""
        report = f"{worker.name} {reason}" + (f", while drawing {worker.work.label}" if worker.work else "")
        left = worker.work.without(worker.answered) if worker.work else None
        worker.work, worker.ready = None, False
        worker.deaths += 1
        if left is not None:
            work_deaths = worker.work_deaths + 1
            if work_deaths < DEADLY:
                self._requeued.appendleft((left, work_deaths))
            else:
                self.set_aside.append(left)
                report += f"; this has ended {work_deaths} workers in a row"
                report += f" and is set aside ({left.rollouts:,} rollouts)"
        if worker.deaths > RESTARTS:
            worker.given_up = True
            self._warn(f"{report}; it has ended {worker.deaths} times in a row and is given up")
        else:
            self._warn(f"{report}; it is restarted")
            self._start(worker)

    def _start(self, worker: WorkerState) -> None:
        worker.last_message_at = time.monotonic()
        worker.place = self._transport.start(worker.number)

    def _drain(self) -> Iterator[tuple[Work, Delivery]]:
        """Interrupt all workers, and take what they have finished."""
        busy = {worker.number for worker in self._workers if worker.work}
        for number in busy:
            self._transport.interrupt(number)
        until = time.monotonic() + _SHUTDOWN_S
        while busy and time.monotonic() < until:
            for number, message in self._transport.receive(_WAIT_S):
                if isinstance(message, Delivery):
                    yield from self._handle(self._workers[number - 1], message)
                elif isinstance(message, Finished | Failure | Exited):
                    busy.discard(number)
