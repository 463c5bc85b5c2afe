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
from esprobe.fleet.carrier import Carrier, Died, Failure, Finished, Message
from esprobe.fleet.work import Delivery, Key, Work
from esprobe.fleet.worker import Papers, Ready

RESTARTS = 5
"""Times a worker is started again without having answered anything in between."""

DEADLY = 3
"""Workers that one work may end in a row, none of which has answered any of it, before it is set aside."""

LOADING_S = 3600.0
"""Seconds a worker may take to load: a large model may have to be downloaded first."""

_WAIT_S = 0.5
_ABSENT = 0.1
"""Share of the time after which a worker is stuck: who has not listened for longer was away (Ctrl-Z, a locked file)."""
_PARTING_S = 30.0


@dataclass
class Member:
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


class Team:
    """Workers behind one carrier, as a crew."""

    def __init__(
        self, carrier: Carrier, size: int, expected: Papers, warn: Callable[[str], None], stuck_s: float
    ) -> None:
        """``warn`` is told of every worker that dies or is refused, and of all work that is set aside."""
        self.size = size
        self.ready: Ready
        self.set_aside: list[Work] = []
        self._carrier = carrier
        self._members = [Member(number) for number in range(1, size + 1)]
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
            for member in self._members:
                self._start(member)
            while not any(member.ready for member in self._members):
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
        for member in self._members:
            if not member.ready:  # what loads has nothing that could be lost, and may load for long
                self._carrier.kill(member.number)
        self._carrier.close()

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        """Hand out work in its order to whoever is free."""
        more = True
        while not stop():
            for member in self._members:
                if member.ready and member.work is None:
                    more = self._hand_over(member, works)
            if not (more or self._again or any(member.work for member in self._members)):
                return
            yield from self._listen()
        yield from self._wind_up()

    def _hand_over(self, member: Member, works: Iterator[Work]) -> bool:
        """Whether there was work to hand over."""
        if self._again:
            member.work, member.ended = self._again.popleft()
        else:
            member.work, member.ended = next(works, None), 0
        if member.work is None:
            return False
        member.answered, member.heard = set(), time.monotonic()
        self._carrier.give(member.number, member.work)
        return True

    def _listen(self) -> Iterator[tuple[Work, Delivery]]:
        if all(member.gone for member in self._members):
            raise EngineError(
                f"none of the {self.size} workers is left, so nothing more can be drawn; what was drawn is stored. "
                f"The warnings above say why they ended; --workers 1 runs the engine in this process, where its own "
                f"error can be seen"
            )
        for number, message in self._carrier.wait(_WAIT_S):
            yield from self._hear(self._members[number - 1], message)
        self._excuse_absence()
        for member in self._members:
            self._check_pulse(member)

    def _excuse_absence(self) -> None:
        """Time in which we ourselves did not listen is no silence of the workers."""
        now = time.monotonic()
        absent, self._listened = now - self._listened, now
        if absent > _WAIT_S + _ABSENT * self._stuck_s:
            for member in self._members:
                member.heard = min(member.heard + absent, now)

    def _hear(self, member: Member, message: Message) -> Iterator[tuple[Work, Delivery]]:
        member.heard = time.monotonic()
        match message:
            case Ready():
                self._admit(member, message)
            case Delivery():
                assert member.work is not None
                if message.completions:
                    requests = (completion.request for completion in message.completions)
                    member.answered.update(Key(r.problem_id, r.problem_index, r.seed) for r in requests)
                    member.deaths = member.ended = 0
                yield member.work, message
            case Finished():
                member.work = None
            case Failure(EngineError() as error):
                self._carrier.kill(member.number)
                self._lose(member, f"failed: {error}")
            case Failure(error, place):
                if member.ready:
                    raise error  # any worker would say the same of this work
                self._turn_away(member, error, place)
            case Died(reason):
                self._lose(member, reason)

    def _admit(self, member: Member, ready: Ready) -> None:
        member.place = ready.place
        wrong = ready.papers.differences(self._expected)
        if wrong:
            member.gone = True
            self._carrier.kill(member.number)
            self._warn(
                f"{member.name} is refused before it draws anything, because its rollouts would be of another "
                f"condition ({'; '.join(wrong)}); mend that and run the same command again"
            )
            return
        member.ready = True
        self.ready = getattr(self, "ready", ready)

    def _turn_away(self, member: Member, error: EsprobeError, place: str) -> None:
        """A worker cannot load what this command has found in order: a matter of its machine, unless all say so."""
        member.gone, member.place = True, place
        self._carrier.kill(member.number)
        if all(other.gone for other in self._members):
            raise error
        self._warn(f"{member.name} cannot load what it is to draw with, and is given up: {error}")

    def _check_pulse(self, member: Member) -> None:
        if member.gone or (member.ready and member.work is None):
            return
        limit = self._stuck_s if member.ready else LOADING_S
        if time.monotonic() - member.heard > limit:
            self._carrier.kill(member.number)
            doing = "generated" if member.ready else "loaded"
            self._lose(member, f"is stuck: it has {doing} nothing for {limit:g} s, and was ended")

    def _lose(self, member: Member, reason: str) -> None:
        """A worker has ended; its work and itself get another chance, or have had the last one."""
        told = f"{member.name} {reason}" + (f", while drawing {member.work.label}" if member.work else "")
        left = member.work.without(member.answered) if member.work else None
        member.work, member.ready = None, False
        member.deaths += 1
        if left is not None:
            ended = member.ended + 1
            if ended < DEADLY:
                self._again.appendleft((left, ended))
            else:
                self.set_aside.append(left)
                told += f"; this has ended {ended} workers in a row and is set aside ({left.rollouts:,} rollouts)"
        if member.deaths > RESTARTS:
            member.gone = True
            self._warn(f"{told}; it has ended {member.deaths} times in a row and is given up")
        else:
            self._warn(f"{told}; it is started again")
            self._start(member)

    def _start(self, member: Member) -> None:
        member.heard = time.monotonic()
        member.place = self._carrier.start(member.number)

    def _wind_up(self) -> Iterator[tuple[Work, Delivery]]:
        """Take what has finished from workers that are to stop."""
        busy = {member.number for member in self._members if member.work}
        for number in busy:
            self._carrier.interrupt(number)
        until = time.monotonic() + _PARTING_S
        while busy and time.monotonic() < until:
            for number, message in self._carrier.wait(_WAIT_S):
                if isinstance(message, Delivery):
                    yield from self._hear(self._members[number - 1], message)
                elif isinstance(message, Finished | Failure | Died):
                    busy.discard(number)
