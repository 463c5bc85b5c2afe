"""Workers as processes of this machine, each behind a pipe of its own.

No queue is shared, so that a message or lock that a killed process left unfinished affects only its own pipe. The pipe
also bounds the results in flight: a worker whose pipe is full waits.
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
from esprobe.workers.transport import HEARTBEAT_S, STOP_SIGNALS, Exited, Failure, Finished, Heartbeat, Message
from esprobe.workers.work import Work
from esprobe.workers.worker import Worker, WorkerSpec, this_place

_CLOSING_S = 10.0
_BROKEN = (EOFError, BrokenPipeError, ConnectionResetError)


class Processes:
    """Messages through pipes. Processes are spawned, not forked: CUDA and threads do not survive a fork."""

    def __init__(self, spec: WorkerSpec, environments: Sequence[Mapping[str, str]]) -> None:
        """``environments``: environment variables of each worker, in addition to those of this process."""
        self._spec = spec
        self._environments = environments
        self._context = get_context("spawn")
        self._processes: dict[int, Any] = {}
        self._pipes: dict[int, Connection[Any, Any]] = {}

    def start(self, number: int) -> str:
        """Spawn a process; returns its id and machine, for people."""
        ensure_running()  # the first start would do it, and it unblocks signals that are deferred below
        with _signals_deferred():
            ours, theirs = self._context.Pipe()
            with theirs:  # our copy of its end is closed, so that its death closes the pipe
                arguments = (theirs, self._spec, dict(self._environments[number - 1]))
                process = self._context.Process(target=serve, args=arguments, name=f"esprobe worker {number}")
                process.start()
            self._processes[number], self._pipes[number] = process, ours
        return this_place(process.pid)

    def assign(self, number: int, work: Work) -> None:
        """Send work; if the process has exited, ``receive`` reports it."""
        self._send(number, work)

    def interrupt(self, number: int) -> None:
        """Send None: abandon the work."""
        self._send(number, None)

    def receive(self, timeout_s: float) -> Sequence[tuple[int, Message]]:
        """At most one message from each worker."""
        if not self._pipes:
            time.sleep(timeout_s)
        readable = wait(list(self._pipes.values()), timeout_s)
        messages: list[tuple[int, Message]] = []
        for number, pipe in list(self._pipes.items()):
            if pipe in readable:
                try:
                    messages.append((number, pipe.recv()))
                except (*_BROKEN, OSError):
                    messages.append((number, Exited(self._forget(number))))
        return messages

    def kill(self, number: int) -> None:
        """SIGKILL, which also ends a process that hangs."""
        if number in self._processes:
            self._processes[number].kill()
            self._forget(number)

    def close(self) -> None:
        """Ask all processes to exit, and kill those that do not in time."""
        for number in self._pipes:
            self.interrupt(number)
        until = time.monotonic() + _CLOSING_S
        for number in list(self._processes):
            # Nothing is read any more: closed now, so that a worker with a message to send does not wait for us.
            self._pipes.pop(number).close()
            self._processes[number].join(max(until - time.monotonic(), 0))
            self.kill(number)

    def _send(self, number: int, work: Work | None) -> None:
        with suppress(*_BROKEN):
            self._pipes[number].send(work)

    def _forget(self, number: int) -> str:
        """Clean up after a process that has exited or is about to; returns how it exited."""
        process, pipe = self._processes.pop(number), self._pipes.pop(number, None)
        if pipe is not None:
            pipe.close()
        process.join(_CLOSING_S)
        code = process.exitcode
        if code is None:  # still running, but its pipe is broken, so it cannot be used
            process.kill()
            process.join()
            return "closed its pipe"
        process.close()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def serve(pipe: "Connection[Any, Any]", spec: WorkerSpec, environment: Mapping[str, str]) -> None:
    """A worker's process: sends ``Ready``, then draws the work it receives until it receives None."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    os.environ.update(environment)  # before any library that reads it is imported
    sent_at = time.monotonic()

    def stop() -> bool:
        # Engines call this at every token, so a call also shows that they generate.
        nonlocal sent_at
        if time.monotonic() - sent_at > HEARTBEAT_S:
            sent_at = time.monotonic()
            pipe.send(Heartbeat())
        return pipe.poll()

    with suppress(*_BROKEN):  # the parent has exited: so does this process
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
def _signals_deferred() -> Iterator[None]:
    """Handle signals after the block: a process that is half started has no handlers yet, and would be lost.

    Two things are needed. The new process inherits the signal mask; in this process the mask covers one thread only,
    and where a library has other threads, a signal reaches one of those and Python calls its handler inside the block.
    """
    received: list[int] = []
    handlers = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in STOP_SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for deferred in received:
            signal.raise_signal(deferred)
