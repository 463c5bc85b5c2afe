"""Verdicts on stored texts, by a scorer of their task or by a function in a file of the user's.

Owns which code scores, and that it can neither stop the command nor hang. Does not know why verdicts are asked for.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from esprobe.errors import StoreError, UsageError
from esprobe.paths import kind_of
from esprobe.records import SessionRecord
from esprobe.spec import Problem, Score
from esprobe.store.database import damaged, stored_problems
from esprobe.store.session_verdicts import ScoredText, VerdictReader
from esprobe.tasks import SlowScored, Task, load_task, task_location
from esprobe.tasks.judging import Scorer
from esprobe.tasks.python_file import absolute, digest_at, location_path
from esprobe.tasks.scorer_file import LIMIT_S, is_scorer_file, stored_name
from esprobe.tasks.scorer_processes import ScorerSource
from esprobe.tasks.scoring import DirectScoring, Scoring, key_of, scores_of, slow_scoring
from esprobe.tasks.source import source_digest, task_file

Change = tuple[ScoredText, Score]
"""A stored rollout and its new verdict."""


class Judge:
    """Scores stored texts again; each task is loaded when ``scorer`` first needs it. Close it, or use it in a block."""

    def __init__(self, store: VerdictReader, warn: Callable[[str], None], given: Task | None = None) -> None:
        """Read the problems.

        Args:
            store: the database.
            warn: called with the first text on which a scorer fails.
            given: a task in place of the one that the database names so, such as that of a file that was moved.
        """
        self._path = store.path
        self._problems = store.task_problems()
        self._files = store.task_files()
        self._warn = warn
        self._tasks: dict[str, Task] = {} if given is None else {given.name: given}
        self._scorings: dict[tuple[str, str], Scoring[int]] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def task(self, name: str) -> Task:
        """A task by its name, else from the file that it was sampled from.

        Raises:
            TaskError: it cannot be loaded.
            UsageError: it is not installed.
        """
        if name not in self._tasks:
            try:
                self._tasks[name] = load_task(name)
            except UsageError:
                if name not in self._files:
                    raise
                self._tasks[name] = self._from_file(name, self._files[name].location)
        return self._tasks[name]

    @staticmethod
    def _from_file(name: str, location: str) -> Task:
        if kind_of(path := location_path(location)) != "nothing":
            return load_task(location)
        raise UsageError(
            f"task {name} was sampled from {path}, which does not exist any more, so its texts cannot be scored; if it "
            f"was moved, name it where it is now: esprobe rescore --task NEW/PATH/{Path(location).name}"
        )

    def verdicts(self, batch: Sequence[ScoredText], scorer: str) -> list[Score]:
        """The verdicts that a scorer gives these texts, whose problems are of one task.

        Args:
            batch: stored rollouts.
            scorer: as ``scorer`` returns it: a name, or ``FILE.py:NAME``.

        Raises:
            StoreError: a problem does not exist, or its task rejects it.
        """
        if not batch:
            return []
        found = [self._problem(stored, scorer) for stored in batch]
        with stored_problems(self._path):
            scoring = self._scoring(found[0][0], scorer)
            return scores_of(scoring, [(p, one.completion) for (_, p), one in zip(found, batch, strict=True)])

    def verdict(self, stored: ScoredText, scorer: str) -> Score:
        """The verdict on one text; see ``verdicts``."""
        return self.verdicts([stored], scorer)[0]

    def changes(self, batch: Sequence[ScoredText], scorer: str) -> list[Change]:
        """The rollouts of a batch whose new verdict differs from the stored one in any field."""
        pairs: Iterable[Change] = zip(batch, self.verdicts(batch, scorer), strict=True)
        return [(stored, verdict) for stored, verdict in pairs if verdict != stored.score]

    def scorer(self, task: str, wanted: str | None, current: str) -> str:
        """Resolve a scorer name, with or without a version, to a scorer of a task; ``FILE.py:NAME`` stays what it is.

        Args:
            task: name of a task in the file.
            wanted: "strict/1", or "strict" for its newest version; None for the newest version of ``current``.
            current: the scorer of the stored verdicts.

        Raises:
            TaskError: the task cannot be loaded.
            UsageError: the task has no such scorer, or is not installed.
        """
        if wanted is not None and is_scorer_file(wanted):
            return wanted
        name = wanted or current.partition("/")[0]
        offered = self.task(task).scorers
        if name in offered:
            return name
        versions = [scorer for scorer in offered if scorer.partition("/")[0] == name]
        if not versions:
            raise UsageError(
                f"task {task} has no scorer {name!r}, so its rollouts cannot be scored by it; "
                f"use --scorer {' or '.join(offered)}, or --scorer FILE.py:NAME for a function of your own"
            )
        return max(versions, key=_version)

    def digest(self, task: str, scorer: str) -> str | None:
        """The digest of a scorer's source; None of a built-in one."""
        if is_scorer_file(scorer):
            return digest_at(scorer)
        return source_digest(self.task(task))

    def has_changed(self, task: str, session: SessionRecord) -> bool:
        """Whether the source of a session's scorer is another one than when it scored the session."""
        return is_other_source(self.digest(task, session.scorer), session)

    @staticmethod
    def stored_name(scorer: str) -> str:
        """How the database names a scorer."""
        return stored_name(scorer) if is_scorer_file(scorer) else scorer

    def _problem(self, stored: ScoredText, scorer: str) -> tuple[str, Problem]:
        found = self._problems.get(stored.problem_id)
        if found is None or not (found.task in self._tasks or is_scorer_file(scorer)):
            what = (
                f"a rollout refers to problem id {stored.problem_id}, which does not exist or belongs to another task"
            )
            raise StoreError(damaged(self._path, what))
        return found.task, found.problem

    def _scoring(self, task: str, scorer: str) -> Scoring[int]:
        key = (task, scorer)
        if key not in self._scorings:
            self._scorings[key] = self._new_scoring(task, scorer)
        return self._scorings[key]

    def _new_scoring(self, name: str, scorer: str) -> Scoring[int]:
        if is_scorer_file(scorer):
            source = ScorerSource(None, absolute(scorer))
            return self._open.enter_context(slow_scoring(source, LIMIT_S, lambda _, text: text, self._warn, self._path))
        task = self.task(name)
        limit_s = task.slow_scorers.get(scorer) if isinstance(task, SlowScored) else None
        if limit_s is None:
            return DirectScoring(Scorer(task, scorer, self._warn, self._path, problems_may_be_damaged=True))
        source = ScorerSource(task_file(task) or task_location(name), scorer)
        return self._open.enter_context(slow_scoring(source, limit_s, key_of(task, scorer), self._warn, self._path))


def is_other_source(digest: str | None, session: SessionRecord) -> bool:
    """Whether a scorer's source is known to be another one than when it scored a session."""
    return None not in (digest, session.scorer_digest) and digest != session.scorer_digest


def _version(scorer: str) -> tuple[int, str]:
    """A sort key for versions: numbers by value, and anything else before them."""
    version = scorer.partition("/")[2]
    return (int(version), "") if version.isdecimal() else (-1, version)
