"""Workers as Ray actors, on one machine or on the nodes of a cluster.

Ray places actors, carries what they yield and notices that one is lost; whom to start again, and what to draw again, is
decided by the team as for processes. An actor yields into a stream that holds few unread messages, and waits.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from esprobe.errors import EngineError, EsprobeError, UsageError
from esprobe.workers.devices import check_cores
from esprobe.workers.transport import HEARTBEAT_S, Died, Failure, Finished, Heartbeat, Message
from esprobe.workers.work import Delivery, Work
from esprobe.workers.worker import Ready, Worker, WorkerSpec, this_place

LOCAL = "local"

_UNREAD = 4
"""Messages of one actor that wait to be read."""

_LOCAL_STORE_BYTES = 256 * 2**20
_ANSWER_S = 20.0


class Actor:
    """One worker. Ray calls ``draw`` on one thread, and the others on a second one meanwhile."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._stop = threading.Event()
        self._asked = 0
        self._worker: Worker | None = None

    def load(self) -> Ready | Failure:
        """Load what was ordered."""
        try:
            self._worker = Worker.from_spec(self._spec)
        except EsprobeError as error:
            return Failure(error, this_place())
        return self._worker.ready

    def draw(self, work: Work) -> Iterator[Delivery | Failure]:
        """Draw, and yield what finishes."""
        assert self._worker is not None
        try:
            yield from self._worker.draw(work, self._asked_to_stop)
        except EsprobeError as error:
            yield Failure(error, this_place())

    def interrupt(self) -> None:
        """Give up what is not finished."""
        self._stop.set()

    def heartbeat(self) -> int:
        """How often the engine has asked whether to stop: at every token, so that the number grows while it works."""
        return self._asked

    def _asked_to_stop(self) -> bool:
        self._asked += 1
        return self._stop.is_set()


class RayActors:
    """Carries messages as Ray objects."""

    def __init__(self, address: str, spec: WorkerSpec, workers: int | None, gpus: float) -> None:
        """Connect to a cluster, or make one on this machine.

        Args:
            address: the cluster's, or "local".
            spec: what every worker loads.
            workers: how many there will be; None for as many as the cluster's GPUs have room for, at least one.
            gpus: GPUs of one worker, or a part of one; none are asked for where the cluster has none.

        Raises:
            EngineError: Ray is not installed, or the cluster cannot be reached.
            UsageError: that is no address, or the workers would have no room on this machine.
        """
        self._ray = _connected(address, workers)
        there = self._ray.cluster_resources().get("GPU", 0)
        self.size = workers or max(int(there / gpus), 1)
        self._class = self._ray.remote(Actor).options(num_cpus=1, num_gpus=gpus if there else 0, max_concurrency=2)
        self._spec = spec
        self._actors: dict[int, Any] = {}
        self._spoken: dict[int, Any] = {}
        """Number -> the reference to what comes of loading, or the stream of what comes of drawing."""
        self._heartbeats: dict[int, Any] = {}
        self._counts: dict[int, int] = {}
        self._heartbeats_at = time.monotonic()

    def start(self, number: int) -> str:
        """Have an actor placed wherever there is room; it waits if there is none, and its place is not known yet."""
        actor = self._class.remote(self._spec)
        self._actors[number], self._spoken[number] = actor, actor.load.remote()
        return ""

    def give(self, number: int, work: Work) -> None:
        """Start a stream of deliveries."""
        method = self._actors[number].draw
        self._spoken[number] = method.options(
            num_returns="streaming", _generator_backpressure_num_objects=_UNREAD
        ).remote(work)

    def interrupt(self, number: int) -> None:
        """Ask on the actor's second thread."""
        self._actors[number].interrupt.remote()

    def wait(self, timeout_s: float) -> Sequence[tuple[int, Message]]:
        """One message at most from each worker."""
        self._ask_for_heartbeats()
        waited = {ref: number for number, ref in [*self._spoken.items(), *self._heartbeats.items()]}
        if not waited:
            time.sleep(timeout_s)
            return []
        ready, _ = self._ray.wait(list(waited), num_returns=1, timeout=timeout_s)
        more, _ = self._ray.wait(list(waited), num_returns=len(waited), timeout=0)
        heard = ((waited[ref], self._message(waited[ref], ref)) for ref in dict.fromkeys([*ready, *more]))
        return [(number, message) for number, message in heard if message is not None]

    def kill(self, number: int) -> None:
        """End an actor at once."""
        self._spoken.pop(number, None)
        self._heartbeats.pop(number, None)
        actor = self._actors.pop(number, None)
        if actor is not None:
            self._ray.kill(actor)

    def close(self) -> None:
        """End all actors, and a cluster that was made here."""
        for number in list(self._actors):
            self.kill(number)
        self._ray.shutdown()

    def _message(self, number: int, ref: Any) -> Message | None:
        if self._actors.get(number) is None:
            return None  # its last message, in this very round, was that it is gone
        try:
            if ref == self._heartbeats.get(number):
                del self._heartbeats[number]
                before, self._counts[number] = self._counts.get(number), self._ray.get(ref)
                return Heartbeat() if self._counts[number] != before else None
            if isinstance(ref, self._ray.ObjectRef):
                del self._spoken[number]
                message: Message = self._ray.get(ref)
                return message
            message = self._ray.get(next(ref))
            return message
        except StopIteration:
            del self._spoken[number]
            return Finished()
        except self._ray.exceptions.RayError as error:
            self.kill(number)
            return Died(f"is lost ({type(error).__name__}: {_first_line(error)})")

    def _ask_for_heartbeats(self) -> None:
        if time.monotonic() - self._heartbeats_at < HEARTBEAT_S:
            return
        self._heartbeats_at = time.monotonic()
        for number in self._spoken.keys() - self._heartbeats.keys():
            if not isinstance(self._spoken[number], self._ray.ObjectRef):  # drawing
                self._heartbeats[number] = self._actors[number].heartbeat.remote()


def _connected(address: str, workers: int | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody unless asked for
    try:
        import ray
    except ImportError as err:
        raise EngineError(
            "--ray needs Ray, which this environment lacks; install in a checkout of esprobe with: "
            "pip install '.[ray]', or use --workers on this machine alone"
        ) from err
    _check_reachable(address)
    if address == LOCAL:
        check_cores(workers or 1)
    cpus = max(os.cpu_count() or 1, workers or 1)
    local: Mapping[str, Any] = {"num_cpus": cpus, "object_store_memory": _LOCAL_STORE_BYTES, "include_dashboard": False}
    try:
        with _own_signals():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **(local if address == LOCAL else {}))
    except (ConnectionError, ValueError, RuntimeError) as err:
        raise _unreachable(address, err) from err
    return ray


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes, without a word."""
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not (host and port.isdecimal()):
        raise UsageError(
            f"--ray {address!r} is no address, so no cluster can be asked; use its HOST:PORT (Ray's usual port is "
            f"6379), auto on a machine that belongs to it, or local for one on this machine"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as err:  # a port may be no port
        raise _unreachable(address, err) from err


def _unreachable(address: str, error: Exception) -> EngineError:
    return EngineError(
        f"no Ray cluster answers at {address!r} ({_first_line(error)}), so nobody could draw; start one with: "
        f"ray start --head, use --ray local, or, if a cluster is there and asks for a token, set RAY_AUTH_MODE=token"
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray's handlers would end this process; ours store what has finished first."""
    ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    with suppress(IndexError):
        return str(error).strip().splitlines()[0][:300]
    return type(error).__name__
