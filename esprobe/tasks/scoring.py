"""Scoring many completions: at once where a scorer is fast, in processes beside the caller where it is slow.

Owns how verdicts are handed on, and which completions share one. Does not know how a process is run.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from esprobe.spec import Problem, Score
from esprobe.tasks.base import SlowScored, Task, VerdictKeyed
from esprobe.tasks.judging import FAILED, Scorer, failure_message
from esprobe.tasks.scorer_processes import Answer, ScorerProcesses, ScorerSource

Tag = TypeVar("Tag")

TIMEOUT = Score(0.0, False, None, "timeout")
"""The verdict on a text that a slow scorer took too long for."""

_MOST_REMEMBERED = 500_000
_MOST_WAITING = 20_000
_POLL_S = 0.002


class Scoring(Protocol[Tag]):
    """Takes completions, each with a tag of the caller's, and gives back their verdicts as they are known."""

    @property
    def waiting(self) -> int:
        """Completions whose verdicts are still to come."""

    def submit(self, tag: Tag, problem: Problem, completion: str) -> None:
        """Ask for a verdict. Waits only where thousands of texts are being scored already."""

    def finished(self) -> list[tuple[Tag, Score]]:
        """The verdicts that have become known since the last call."""

    def rest(self, timeout_s: float) -> list[tuple[Tag, Score]]:
        """Those that are still to come, as far as they come in time."""


class DirectScoring(Generic[Tag]):
    """In the caller's thread."""

    waiting = 0

    def __init__(self, score: Callable[[Problem, str], Score]) -> None:
        self._score = score
        self._done: list[tuple[Tag, Score]] = []

    def submit(self, tag: Tag, problem: Problem, completion: str) -> None:
        """Score it."""
        self._done.append((tag, self._score(problem, completion)))

    def finished(self) -> list[tuple[Tag, Score]]:
        """Everything submitted since the last call."""
        done, self._done = self._done, []
        return done

    def rest(self, timeout_s: float) -> list[tuple[Tag, Score]]:
        """Likewise."""
        return self.finished()


_Key = tuple[int, bytes]


class SlowScoring(Generic[Tag]):
    """In processes beside the caller's, once for all completions of one verdict; what takes too long is ``TIMEOUT``."""

    def __init__(
        self,
        processes: ScorerProcesses[_Key],
        scorer: str,
        key_of: Callable[[Problem, str], str],
        warn: Callable[[str], None],
        database: Path,
    ) -> None:
        """Share processes.

        Args:
            processes: those that score, started.
            scorer: name of the scorer.
            key_of: what decides a completion's verdict.
            warn: called with the first failure.
            database: where the texts are stored, for the warning.
        """
        self._processes = processes
        self._scorer = scorer
        self._key_of = key_of
        self._warn = warn
        self._database = database
        self._is_told = False
        self._known: dict[_Key, Score] = {}
        self._waiting: dict[_Key, list[tuple[Tag, Problem]]] = {}
        self._done: deque[tuple[Tag, Score]] = deque()

    @property
    def waiting(self) -> int:
        """Completions whose verdicts are still to come."""
        return sum(map(len, self._waiting.values()))

    def submit(self, tag: Tag, problem: Problem, completion: str) -> None:
        """Give it to a process, unless its verdict is known or on its way.

        Raises:
            EsprobeError: the processes cannot load the scorer.
        """
        text = self._key_of(problem, completion)
        key = problem.index, hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=16).digest()
        if (score := self._known.get(key)) is not None:
            self._done.append((tag, score))
        elif key in self._waiting:
            self._waiting[key].append((tag, problem))
        else:
            self._waiting[key] = [(tag, problem)]
            self._processes.submit(key, problem, completion)
        while len(self._waiting) > _MOST_WAITING:
            time.sleep(_POLL_S)
            self._collect()

    def finished(self) -> list[tuple[Tag, Score]]:
        """The verdicts that have come.

        Raises:
            EsprobeError: the processes cannot load the scorer.
        """
        self._collect()
        done = list(self._done)
        self._done.clear()
        return done

    def rest(self, timeout_s: float) -> list[tuple[Tag, Score]]:
        """The verdicts of all that was submitted, or those that came in time."""
        until = time.monotonic() + timeout_s
        while self._waiting and time.monotonic() < until:
            self._collect()
            time.sleep(_POLL_S)
        return self.finished()

    def _collect(self) -> None:
        for key, answer in self._processes.answers():
            score = self._verdict(answer, self._waiting[key][0][1])
            self._known[key] = score
            if len(self._known) > _MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._done.extend((tag, score) for tag, _ in self._waiting.pop(key))

    def _verdict(self, answer: Answer, problem: Problem) -> Score:
        if answer.score is not None:
            return answer.score
        if answer.why is None:
            return TIMEOUT
        if not self._is_told:
            self._is_told = True
            self._warn(failure_message(self._scorer, problem, answer.why, self._database))
        return FAILED


@contextmanager
def scoring_by(
    task: Task, location: str, scorer: str, warn: Callable[[str], None], database: Path
) -> Iterator[Scoring[Any]]:
    """Scoring by one scorer of a task, while new rollouts are drawn.

    Args:
        task: the task.
        location: how another process loads it (``task_location``).
        scorer: one of its scorers.
        warn: called with the first text on which the scorer fails.
        database: where the texts are stored, for that warning.
    """
    limit_s = task.slow_scorers.get(scorer) if isinstance(task, SlowScored) else None
    if limit_s is None:
        yield DirectScoring(Scorer(task, scorer, warn, database))
        return
    with slow_scoring(ScorerSource(location, scorer), limit_s, key_of(task, scorer), warn, database) as scoring:
        yield scoring


@contextmanager
def slow_scoring(
    source: ScorerSource,
    limit_s: float,
    key: Callable[[Problem, str], str],
    warn: Callable[[str], None],
    database: Path,
) -> Iterator[SlowScoring[Any]]:
    """Scoring in processes, which end with the block."""
    with ScorerProcesses[_Key](source, limit_s) as processes:
        yield SlowScoring(processes, source.scorer, key, warn, database)


def key_of(task: Task, scorer: str) -> Callable[[Problem, str], str]:
    """What decides the verdict on a completion: what the task says, else all of it."""
    if isinstance(task, VerdictKeyed):
        keyed = task
        return lambda problem, completion: keyed.verdict_key(problem, completion, scorer)
    return lambda problem, completion: completion


def scores_of(scoring: Scoring[int], texts: Sequence[tuple[Problem, str]]) -> list[Score]:
    """The verdicts on several completions, in their order."""
    for number, (problem, completion) in enumerate(texts):
        scoring.submit(number, problem, completion)
    found = dict(scoring.rest(float("inf")))
    return [found[number] for number in range(len(texts))]
