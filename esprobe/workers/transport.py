"""The messages between a supervisor and its workers, and what carries them: processes of this machine, or Ray."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esprobe.errors import EsprobeError
from esprobe.workers.work import Delivery, Work
from esprobe.workers.worker import Ready

_STOP = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
STOP_SIGNALS = [getattr(signal, name) for name in _STOP if hasattr(signal, name)]
"""Signals whose meaning the command decides: a terminal and Slurm send them to every process of the group."""


@dataclass(frozen=True)
class Heartbeat:
    """A worker is generating, though nothing has finished."""


@dataclass(frozen=True)
class Finished:
    """A worker has finished its work, unless it was interrupted."""


@dataclass(frozen=True)
class Failure:
    """A worker exits because of an error that a person can act on; ``place`` is its process and machine."""

    error: EsprobeError
    place: str


@dataclass(frozen=True)
class Exited:
    """A worker has exited without a message of its own."""

    reason: str


Message = Ready | Delivery | Heartbeat | Finished | Failure | Exited

HEARTBEAT_S = 1.0
"""Seconds between two heartbeats."""


class Transport(Protocol):
    """Starts workers, identified by number, and carries messages. Results stay with the worker until they are taken."""

    def start(self, number: int) -> str:
        """Start a worker: it sends ``Ready``, ``Failure`` or ``Exited``. Returns its place, "" if not yet known."""

    def assign(self, number: int, work: Work) -> None:
        """Have a worker draw: it sends deliveries and heartbeats, then ``Finished``, ``Failure`` or ``Exited``."""

    def interrupt(self, number: int) -> None:
        """Ask a worker to abandon what it has not finished."""

    def receive(self, timeout_s: float) -> Sequence[tuple[int, Message]]:
        """(number, message) of every worker that has sent one, at most one each; waits ``timeout_s`` for the first."""

    def kill(self, number: int) -> None:
        """End a worker at once; no message of it arrives any more."""

    def close(self) -> None:
        """End all workers."""
