"""Workers as processes of this machine, at the other end of a pipe each.

A pipe to each, and no queue that they share: whatever a killed process leaves half-written, or locked, is its own. The
pipe is also the bound on results in flight: a worker whose pipe is full waits.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.resource_tracker import ensure_running
from typing import Any

from esprobe.errors import EsprobeError
from esprobe.workers.transport import HEARTBEAT_S, Died, Failure, Finished, Heartbeat, Message
from esprobe.workers.work import Work
from esprobe.workers.worker import Worker, WorkerSpec, this_place

_CLOSING_S = 10.0
# The parent decides what a signal means; a terminal and Slurm send it to every process of the group.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
_BROKEN = (EOFError, BrokenPipeError, ConnectionResetError)


class Processes:
    """Carries messages through pipes. Started afresh, not forked: CUDA and threads do not survive a fork."""

    def __init__(self, spec: WorkerSpec, environments: Sequence[Mapping[str, str]]) -> None:
        """``environments`` are the variables that each worker gets besides those of this process."""
        self._spec = spec
        self._environments = environments
        self._context = get_context("spawn")
        self._processes: dict[int, Any] = {}
        self._pipes: dict[int, Connection[Any, Any]] = {}

    def start(self, number: int) -> str:
        """Start a process; which, and where."""
        ensure_running()  # what the first start would do, and it unblocks signals that we hold below
        with _held():
            ours, theirs = self._context.Pipe()
            with theirs:  # our copy of its end is closed, so that its death closes the pipe
                arguments = (theirs, self._spec, dict(self._environments[number - 1]))
                process = self._context.Process(target=serve, args=arguments, name=f"esprobe worker {number}")
                process.start()
            self._processes[number], self._pipes[number] = process, ours
        return this_place(process.pid)

    def give(self, number: int, work: Work) -> None:
        """Send work; if nobody is there, ``wait`` says so."""
        self._send(number, work)

    def interrupt(self, number: int) -> None:
        """Send the word that nothing more is wanted."""
        self._send(number, None)

    def wait(self, timeout_s: float) -> Sequence[tuple[int, Message]]:
        """One message at most from each worker."""
        if not self._pipes:
            time.sleep(timeout_s)
        spoken = wait(list(self._pipes.values()), timeout_s)
        heard: list[tuple[int, Message]] = []
        for number, pipe in list(self._pipes.items()):
            if pipe in spoken:
                try:
                    heard.append((number, pipe.recv()))
                except (*_BROKEN, OSError):
                    heard.append((number, Died(self._end(number))))
        return heard

    def kill(self, number: int) -> None:
        """SIGKILL, which also ends a process that hangs."""
        if number in self._processes:
            self._processes[number].kill()
            self._end(number)

    def close(self) -> None:
        """Let the idle go, and kill who does not go in time."""
        for number in self._pipes:
            self.interrupt(number)
        until = time.monotonic() + _CLOSING_S
        for number in list(self._processes):
            # Nobody reads any more: closed now, so that a worker with something to say does not wait for us.
            self._pipes.pop(number).close()
            self._processes[number].join(max(until - time.monotonic(), 0))
            self.kill(number)

    def _send(self, number: int, word: Work | None) -> None:
        with suppress(*_BROKEN):
            self._pipes[number].send(word)

    def _end(self, number: int) -> str:
        """Forget a process that has ended or is about to; how it ended."""
        process, pipe = self._processes.pop(number), self._pipes.pop(number, None)
        if pipe is not None:
            pipe.close()
        process.join(_CLOSING_S)
        code = process.exitcode
        if code is None:  # its pipe is broken, so it cannot be of use
            process.kill()
            process.join()
            return "closed its pipe"
        process.close()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def serve(pipe: "Connection[Any, Any]", spec: WorkerSpec, environment: Mapping[str, str]) -> None:
    """A worker's process: says that it is ready, and draws what it is given until it is given None."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    os.environ.update(environment)  # before any library that reads it is imported
    said = time.monotonic()

    def stop() -> bool:
        # Engines ask at every token, so this is also the proof that they generate.
        nonlocal said
        if time.monotonic() - said > HEARTBEAT_S:
            said = time.monotonic()
            pipe.send(Heartbeat())
        return pipe.poll()

    with suppress(*_BROKEN):  # the parent is gone, and there is nobody to work for
        try:
            worker = Worker.from_spec(spec)
            pipe.send(worker.ready)
            while (work := pipe.recv()) is not None:
                for delivery in worker.draw(work, stop):
                    pipe.send(delivery)
                pipe.send(Finished())
        except EsprobeError as error:
            pipe.send(Failure(error, this_place()))


@contextmanager
def _held() -> Iterator[None]:
    """Signals wait: a process that starts has not said yet what it makes of them, and half started it would be lost.

    Two things are needed. The mask is what the new process inherits; here it covers one thread, and where a library
    has others, a signal reaches one of those and Python still calls its handler in the midst of ours.
    """
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in _SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)
