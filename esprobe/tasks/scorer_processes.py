"""Processes that run one scorer, each watched by a thread: what hangs is killed, what dies is started again.

A text that ends two processes counts as one on which the scorer failed: the first death may have had another cause,
such as a signal to the whole group.
"""

import os
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from esprobe.errors import EsprobeError, TaskError
from esprobe.spec import Problem, Score

Key = TypeVar("Key")

_LOADING_S = 120.0
_GRACE_S = 5.0
"""How much longer than the limit a process may live if nobody kills it, as when its parent was killed."""

_MOST_PROCESSES = 8
_IGNORED = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")


@dataclass(frozen=True)
class ScorerSource:
    """How a process loads a scorer.

    Attributes:
        task: what ``load_task`` takes; None for a function in a file.
        scorer: the scorer's name, or where ``task`` is None the ``FILE.py:NAME`` of the function.
    """

    task: str | None
    scorer: str

    def load(self) -> Callable[[Problem, str], Score]:
        """The scorer.

        Raises:
            EsprobeError: its code cannot be loaded.
        """
        from esprobe.tasks import load_task
        from esprobe.tasks.judging import checked

        if self.task is None:
            from esprobe.tasks.scorer_file import load_scorer

            return load_scorer(self.scorer)
        task = load_task(self.task)
        return lambda problem, completion: checked(task.score(problem, completion, self.scorer))


class Answer(NamedTuple):
    """What became of one text: a score, or why there is none; neither if it took too long."""

    score: Score | None
    why: str | None


class ScorerProcesses(Generic[Key]):
    """A queue of texts, and the processes that score them."""

    def __init__(self, source: ScorerSource, limit_s: float) -> None:
        """``limit_s``: seconds that one text may take."""
        self._source = source
        self._limit_s = limit_s
        self._texts: queue.SimpleQueue[tuple[Key, Problem, str] | None] = queue.SimpleQueue()
        self._answers: deque[tuple[Key, Answer]] = deque()
        self._error: EsprobeError | None = None
        self._closing = False
        self._children: set[_Child] = set()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(_count())]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for _ in self._threads:
            self._texts.put(None)
        for child in list(self._children):
            child.kill()
        for thread in self._threads:
            thread.join()

    def submit(self, key: Key, problem: Problem, completion: str) -> None:
        """Ask for a score.

        Raises:
            EsprobeError: the scorer cannot be loaded.
        """
        self._raise()
        self._texts.put((key, problem, completion))

    def answers(self) -> list[tuple[Key, Answer]]:
        """What has been answered since the last call, in any order.

        Raises:
            EsprobeError: the scorer cannot be loaded.
        """
        self._raise()
        found = []
        while self._answers:
            found.append(self._answers.popleft())
        return found

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _serve(self) -> None:
        child: _Child | None = None
        try:
            while not self._closing and (text := self._texts.get()) is not None:
                key, problem, completion = text
                deaths = 0
                answer: Answer | None = None
                while answer is None and not self._closing:
                    if child is None:
                        child = _Child(self._source, self._limit_s)
                        self._children.add(child)
                        child.load()
                    answer = child.ask(problem, completion)
                    if child.is_dead:
                        self._children.discard(child)
                        child, deaths = None, deaths + 1
                        if answer is None and deaths > 1:
                            answer = Answer(None, "it ended its process twice")
                if answer is not None:
                    self._answers.append((key, answer))
        except EsprobeError as error:
            self._error = error
        finally:
            if child is not None:
                child.kill()


class _Child:
    """One process; used by one thread, but killed by any."""

    def __init__(self, source: ScorerSource, limit_s: float) -> None:
        context = get_context("spawn")
        self._limit_s = limit_s
        self._pipe, theirs = context.Pipe()
        with theirs:  # our copy is closed, so that the death of the process closes the pipe
            self._process: Any = context.Process(target=serve, args=(theirs, source, limit_s), daemon=True)
            self._process.start()
        self.is_dead = False

    def load(self) -> None:
        """Wait until the scorer is loaded.

        Raises:
            EsprobeError: it cannot be.
        """
        error = self._received(_LOADING_S)
        if isinstance(error, EsprobeError):
            raise error
        if error != "ready" and not self.is_dead:
            self.kill()
            raise TaskError(f"a process that loads the scorer has not done so in {_LOADING_S:g} s; correct the task")

    def ask(self, problem: Problem, completion: str) -> Answer | None:
        """The answer; None if the process died."""
        if self.is_dead:
            return None
        try:
            self._pipe.send((problem, completion))
        except OSError:
            self._die()
            return None
        answer: Answer | None = self._received(self._limit_s)
        if answer is None and not self.is_dead:
            self.kill()
            return Answer(None, None)
        return answer

    def kill(self) -> None:
        """End the process, whatever it does."""
        with suppress(ValueError):  # closed by another thread
            self._process.kill()
        self._die()

    def _received(self, timeout_s: float) -> Any:
        """The next message; None if none came in time, or the process has died."""
        try:
            return self._pipe.recv() if self._pipe.poll(timeout_s) else None
        except (EOFError, OSError):
            self._die()
            return None

    def _die(self) -> None:
        self.is_dead = True


def serve(pipe: "Connection[Any, Any]", source: ScorerSource, limit_s: float) -> None:
    """A scorer's process: says that it is ready, then scores what it receives until the pipe is closed."""
    for name in _IGNORED:  # a terminal sends them to all processes of the group, and the command decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.dup2(2, 1)  # what a scorer prints must not get into the results on standard output
    sys.stdout = sys.stderr
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            score = source.load()
        except EsprobeError as error:
            pipe.send(error)
            return
        pipe.send("ready")
        while True:
            problem, completion = pipe.recv()
            with_deadline(limit_s + _GRACE_S)
            answer = _answer(score, problem, completion)
            with_deadline(0)
            pipe.send(answer)


def with_deadline(seconds: float) -> None:
    """Have the operating system end this process after some time, whatever it does then; 0 for never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _answer(score: Callable[[Problem, str], Score], problem: Problem, completion: str) -> Answer:
    try:
        return Answer(score(problem, completion), None)
    except EsprobeError as error:
        return Answer(None, str(error))
    except (Exception, SystemExit) as error:
        from esprobe.tasks.guarded import describe

        return Answer(None, describe(error))


def _count() -> int:
    """One core is left to the caller."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST_PROCESSES, cores - 1))
