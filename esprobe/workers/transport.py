"""What a team and its workers say to each other, and who carries it: processes of this machine, or Ray."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esprobe.errors import EsprobeError
from esprobe.workers.work import Delivery, Work
from esprobe.workers.worker import Ready


@dataclass(frozen=True)
class Heartbeat:
    """A worker is generating, though nothing has finished."""


@dataclass(frozen=True)
class Finished:
    """A worker has done its work, as far as it was not stopped."""


@dataclass(frozen=True)
class Failure:
    """A worker ends because of an error that a person can act on; ``place`` is the process and machine it is."""

    error: EsprobeError
    place: str


@dataclass(frozen=True)
class Died:
    """A worker has ended without a word."""

    reason: str


Message = Ready | Delivery | Heartbeat | Finished | Failure | Died

HEARTBEAT_S = 1.0
"""Seconds between two signs of life."""


class Transport(Protocol):
    """Starts workers, known by number, and carries messages. Results wait with the worker until they are taken."""

    def start(self, number: int) -> str:
        """Start a worker, of which a ``Ready``, ``Failure`` or ``Died`` comes; its place if it has one yet, or ""."""

    def give(self, number: int, work: Work) -> None:
        """Let a worker draw; deliveries and heartbeats come of it, and last ``Finished``, ``Failure`` or ``Died``."""

    def interrupt(self, number: int) -> None:
        """Ask a worker to give up what it has not finished."""

    def wait(self, timeout_s: float) -> Sequence[tuple[int, Message]]:
        """What workers have said; waits for a first word at most so long."""

    def kill(self, number: int) -> None:
        """End a worker at once; nothing is heard of it any more."""

    def close(self) -> None:
        """End all workers."""
