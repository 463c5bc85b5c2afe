"""Many workers: who gets which work, and what becomes of it when one of them dies.

Work belongs to the team and not to a worker: what a dead one has not answered is given to the next that is free. Two
bounds keep one bad machine, or one bad unit, from stopping the rest: a worker that ends again and again is given up,
and so is work that ends its worker again and again. A completion that arrives sets both counts back.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from esprobe.engines import StopCheck
from esprobe.errors import EngineError, EsprobeError
from esprobe.workers.transport import Died, Failure, Finished, Message, Transport
from esprobe.workers.work import Delivery, Key, Work
from esprobe.workers.worker import Ready, WorkerFingerprint

RESTARTS = 5
"""Times a worker is started again without having answered anything in between."""

DEADLY = 3
"""Workers that one work may end in a row, none of which has answered any of it, before it is set aside."""

LOADING_S = 3600.0
"""Seconds a worker may take to load: a large model may have to be downloaded first."""

_WAIT_S = 0.5
_GAP = 0.1
"""Share of the time after which a worker is stuck: who has not listened for longer was away (Ctrl-Z, a locked file)."""
_SHUTDOWN_S = 30.0


@dataclass
class WorkerState:
    """One worker, in all its lives.

    Attributes:
        deaths: in a row, without an answer in between.
        ended: workers in a row that the work at hand has ended before.
        heard: when it last said something.
    """

    number: int
    place: str = ""
    ready: bool = False
    gone: bool = False
    work: Work | None = None
    answered: set[Key] = field(default_factory=set)
    deaths: int = 0
    ended: int = 0
    heard: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"worker {self.number}" + (f" ({self.place})" if self.place else "")


class Supervisor:
    """Workers behind one transport, as a pool."""

    def __init__(
        self, transport: Transport, size: int, expected: WorkerFingerprint, warn: Callable[[str], None], stuck_s: float
    ) -> None:
        """``warn`` is told of every worker that dies or is refused, and of all work that is set aside."""
        self.size = size
        self.ready: Ready
        self.set_aside: list[Work] = []
        self._transport = transport
        self._workers = [WorkerState(number) for number in range(1, size + 1)]
        self._expected = expected
        self._warn = warn
        self._stuck_s = stuck_s
        self._again: deque[tuple[Work, int]] = deque()
        self._listened = time.monotonic()

    def __enter__(self) -> Self:
        """Start all workers, and wait for the first.

        Raises:
            EsprobeError: none could be started.
        """
        try:
            for worker in self._workers:
                self._start(worker)
            while not any(worker.ready for worker in self._workers):
                for _ in self._listen():
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
            if not worker.ready:  # what loads has nothing that could be lost, and may load for long
                self._transport.kill(worker.number)
        self._transport.close()

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        """Hand out work in its order to whoever is free."""
        more = True
        while not stop():
            for worker in self._workers:
                if worker.ready and worker.work is None:
                    more = self._hand_over(worker, works)
            if not (more or self._again or any(worker.work for worker in self._workers)):
                return
            yield from self._listen()
        yield from self._wind_up()

    def _hand_over(self, worker: WorkerState, works: Iterator[Work]) -> bool:
        """Whether there was work to hand over."""
        if self._again:
            worker.work, worker.ended = self._again.popleft()
        else:
            worker.work, worker.ended = next(works, None), 0
        if worker.work is None:
            return False
        worker.answered, worker.heard = set(), time.monotonic()
        self._transport.give(worker.number, worker.work)
        return True

    def _listen(self) -> Iterator[tuple[Work, Delivery]]:
        if all(worker.gone for worker in self._workers):
            raise EngineError(
                f"none of the {self.size} workers is left, so nothing more can be drawn; what was drawn is stored. "
                f"The warnings above say why they ended; --workers 1 runs the engine in this process, where its own "
                f"error can be seen"
            )
        for number, message in self._transport.wait(_WAIT_S):
            yield from self._hear(self._workers[number - 1], message)
        self._forgive_gap()
        for worker in self._workers:
            self._check_heartbeat(worker)

    def _forgive_gap(self) -> None:
        """Time in which we ourselves did not listen is no silence of the workers."""
        now = time.monotonic()
        absent, self._listened = now - self._listened, now
        if absent > _WAIT_S + _GAP * self._stuck_s:
            for worker in self._workers:
                worker.heard = min(worker.heard + absent, now)

    def _hear(self, worker: WorkerState, message: Message) -> Iterator[tuple[Work, Delivery]]:
        worker.heard = time.monotonic()
        match message:
            case Ready():
                self._admit(worker, message)
            case Delivery():
                assert worker.work is not None
                if message.completions:
                    requests = (completion.request for completion in message.completions)
                    worker.answered.update(Key(r.problem_id, r.problem_index, r.seed) for r in requests)
                    worker.deaths = worker.ended = 0
                yield worker.work, message
            case Finished():
                worker.work = None
            case Failure(EngineError() as error):
                self._transport.kill(worker.number)
                self._lose(worker, f"failed: {error}")
            case Failure(error, place):
                if worker.ready:
                    raise error  # any worker would say the same of this work
                self._reject(worker, error, place)
            case Died(reason):
                self._lose(worker, reason)

    def _admit(self, worker: WorkerState, ready: Ready) -> None:
        worker.place = ready.place
        wrong = ready.fingerprint.differences(self._expected)
        if wrong:
            worker.gone = True
            self._transport.kill(worker.number)
            self._warn(
                f"{worker.name} is refused before it draws anything, because its rollouts would be of another "
                f"condition ({'; '.join(wrong)}); mend that and run the same command again"
            )
            return
        worker.ready = True
        self.ready = getattr(self, "ready", ready)

    def _reject(self, worker: WorkerState, error: EsprobeError, place: str) -> None:
        """A worker cannot load what this command has found in order: a matter of its machine, unless all say so."""
        worker.gone, worker.place = True, place
        self._transport.kill(worker.number)
        if all(other.gone for other in self._workers):
            raise error
        self._warn(f"{worker.name} cannot load what it is to draw with, and is given up: {error}")

    def _check_heartbeat(self, worker: WorkerState) -> None:
        if worker.gone or (worker.ready and worker.work is None):
            return
        limit = self._stuck_s if worker.ready else LOADING_S
        if time.monotonic() - worker.heard > limit:
            self._transport.kill(worker.number)
            doing = "generated" if worker.ready else "loaded"
            self._lose(worker, f"is stuck: it has {doing} nothing for {limit:g} s, and was ended")

    def _lose(self, worker: WorkerState, reason: str) -> None:
        """A worker has ended; its work and itself get another chance, or have had the last one."""
        told = f"{worker.name} {reason}" + (f", while drawing {worker.work.label}" if worker.work else "")
        left = worker.work.without(worker.answered) if worker.work else None
        worker.work, worker.ready = None, False
        worker.deaths += 1
        if left is not None:
            ended = worker.ended + 1
            if ended < DEADLY:
                self._again.appendleft((left, ended))
            else:
                self.set_aside.append(left)
                told += f"; this has ended {ended} workers in a row and is set aside ({left.rollouts:,} rollouts)"
        if worker.deaths > RESTARTS:
            worker.gone = True
            self._warn(f"{told}; it has ended {worker.deaths} times in a row and is given up")
        else:
            self._warn(f"{told}; it is started again")
            self._start(worker)

    def _start(self, worker: WorkerState) -> None:
        worker.heard = time.monotonic()
        worker.place = self._transport.start(worker.number)

    def _wind_up(self) -> Iterator[tuple[Work, Delivery]]:
        """Take what has finished from workers that are to stop."""
        busy = {worker.number for worker in self._workers if worker.work}
        for number in busy:
            self._transport.interrupt(number)
        until = time.monotonic() + _SHUTDOWN_S
        while busy and time.monotonic() < until:
            for number, message in self._transport.wait(_WAIT_S):
                if isinstance(message, Delivery):
                    yield from self._hear(self._workers[number - 1], message)
                elif isinstance(message, Finished | Failure | Died):
                    busy.discard(number)
