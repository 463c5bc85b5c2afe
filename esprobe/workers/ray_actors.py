"""Workers as Ray actors, on one machine or on the nodes of a cluster.

Ray places actors, carries what they yield and detects that one is lost. The supervisor decides, as for processes, which
worker is restarted and which work is drawn again. An actor yields into a stream that holds few unread messages; when it
is full, the actor waits.
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
from esprobe.workers.transport import HEARTBEAT_S, STOP_SIGNALS, Exited, Failure, Finished, Heartbeat, Message
from esprobe.workers.work import Delivery, Work
from esprobe.workers.worker import Ready, Worker, WorkerSpec, this_place

LOCAL = "local"

_UNREAD = 4
"""Messages of one actor that may wait to be read."""

_LOCAL_STORE_BYTES = 256 * 2**20
_ANSWER_S = 20.0


class Actor:
    """One worker. Ray calls ``draw`` on one thread, and the other methods on a second one meanwhile."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._stop = threading.Event()
        self._stop_checks = 0
        self._worker: Worker | None = None

    def load(self) -> Ready | Failure:
        """Load the engine and the task."""
        try:
            self._worker = Worker.from_spec(self._spec)
        except EsprobeError as error:
            return Failure(error, this_place())
        return self._worker.ready

    def draw(self, work: Work) -> Iterator[Delivery | Failure]:
        """Draw, and yield completions as they finish."""
        assert self._worker is not None
        try:
            yield from self._worker.draw(work, self._should_stop)
        except EsprobeError as error:
            yield Failure(error, this_place())

    def interrupt(self) -> None:
        """Abandon what is not finished."""
        self._stop.set()

    def heartbeat(self) -> int:
        """How often the engine has checked whether to stop: at every token, so the number grows while it generates."""
        return self._stop_checks

    def _should_stop(self) -> bool:
        self._stop_checks += 1
        return self._stop.is_set()


class RayActors:
    """Messages as Ray objects."""

    def __init__(self, address: str, spec: WorkerSpec, workers: int | None, gpus: float) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            address: the cluster's, or "local".
            spec: what every worker loads.
            workers: how many; None for as many as fit on the cluster's GPUs, at least one.
            gpus: GPUs of one worker, or a fraction of one; none are requested where the cluster has none.

        Raises:
            EngineError: Ray is not installed, or the cluster cannot be reached.
            UsageError: the address is malformed, or the workers do not fit on this machine.
        """
        self._ray = _connected(address, workers)
        available = self._ray.cluster_resources().get("GPU", 0)
        self.size = workers or max(int(available / gpus), 1)
        self._class = self._ray.remote(Actor).options(num_cpus=1, num_gpus=gpus if available else 0, max_concurrency=2)
        self._spec = spec
        self._actors: dict[int, Any] = {}
        self._replies: dict[int, Any] = {}
        """Number -> reference to the result of loading, or the stream of deliveries."""
        self._heartbeats: dict[int, Any] = {}
        self._counts: dict[int, int] = {}
        self._heartbeats_at = time.monotonic()

    def start(self, number: int) -> str:
        """Have Ray place an actor on any node with free resources; it waits if there is none. Its place comes later."""
        actor = self._class.remote(self._spec)
        self._actors[number], self._replies[number] = actor, actor.load.remote()
        return ""

    def assign(self, number: int, work: Work) -> None:
        """Start a stream of deliveries."""
        method = self._actors[number].draw
        self._replies[number] = method.options(
            num_returns="streaming", _generator_backpressure_num_objects=_UNREAD
        ).remote(work)

    def interrupt(self, number: int) -> None:
        """Call ``interrupt`` on the actor's second thread."""
        self._actors[number].interrupt.remote()

    def receive(self, timeout_s: float) -> Sequence[tuple[int, Message]]:
        """At most one message from each worker."""
        self._request_heartbeats()
        waited = {ref: number for number, ref in [*self._replies.items(), *self._heartbeats.items()]}
        if not waited:
            time.sleep(timeout_s)
            return []
        ready, _ = self._ray.wait(list(waited), num_returns=1, timeout=timeout_s)
        more, _ = self._ray.wait(list(waited), num_returns=len(waited), timeout=0)
        messages = ((waited[ref], self._message(waited[ref], ref)) for ref in dict.fromkeys([*ready, *more]))
        return [(number, message) for number, message in messages if message is not None]

    def kill(self, number: int) -> None:
        """End an actor at once."""
        self._replies.pop(number, None)
        self._heartbeats.pop(number, None)
        actor = self._actors.pop(number, None)
        if actor is not None:
            self._ray.kill(actor)

    def close(self) -> None:
        """End all actors, and a cluster that was started here."""
        for number in list(self._actors):
            self.kill(number)
        self._ray.shutdown()

    def _message(self, number: int, ref: Any) -> Message | None:
        if self._actors.get(number) is None:
            return None  # it was lost in this round, and that was already reported
        try:
            if ref == self._heartbeats.get(number):
                del self._heartbeats[number]
                before, self._counts[number] = self._counts.get(number), self._ray.get(ref)
                return Heartbeat() if self._counts[number] != before else None
            if isinstance(ref, self._ray.ObjectRef):
                del self._replies[number]
                message: Message = self._ray.get(ref)
                return message
            message = self._ray.get(next(ref))
            return message
        except StopIteration:
            del self._replies[number]
            return Finished()
        except self._ray.exceptions.RayError as error:
            self.kill(number)
            return Exited(f"is lost ({type(error).__name__}: {_first_line(error)})")

    def _request_heartbeats(self) -> None:
        if time.monotonic() - self._heartbeats_at < HEARTBEAT_S:
            return
        self._heartbeats_at = time.monotonic()
        for number in self._replies.keys() - self._heartbeats.keys():
            if not isinstance(self._replies[number], self._ray.ObjectRef):  # drawing
                self._heartbeats[number] = self._actors[number].heartbeat.remote()


def _connected(address: str, workers: int | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics unless asked for
    try:
        import ray
    except ImportError as err:
        raise EngineError(
            "--ray needs Ray, which is not installed in this environment; install in a checkout of esprobe with: "
            "pip install '.[ray]', or use --workers to stay on this machine"
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
    """Connect once to the address: Ray itself retries for minutes without a message."""
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not (host and port.isdecimal()):
        raise UsageError(
            f"--ray {address!r} is not an address, so no cluster can be reached; use its HOST:PORT (Ray's default port "
            f"is 6379), auto on a machine that belongs to the cluster, or local to start one on this machine"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as err:  # the port may be out of range
        raise _unreachable(address, err) from err


def _unreachable(address: str, error: Exception) -> EngineError:
    return EngineError(
        f"no Ray cluster answers at {address!r} ({_first_line(error)}), so no worker can be started; start a cluster "
        f"with: ray start --head, use --ray local, or, if the cluster requires a token, set RAY_AUTH_MODE=token"
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our signal handlers: Ray's would end this process, ours store what has finished first."""
    ours = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    with suppress(IndexError):
        return str(error).strip().splitlines()[0][:300]
    return type(error).__name__
