"""Rollouts made elsewhere become a condition of their own, so that the statistics serve them too.

Owns how a file's problems are numbered and who gives the verdicts: the scorer of a task that is named, else the file.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import esprobe
from esprobe.errors import DataError
from esprobe.maintenance.imported_rows import ImportedRow, read_rows
from esprobe.records import GIVEN, Extent
from esprobe.spec import Completion, Condition, Kind, Problem, Prompt, Request, Score, digest_of
from esprobe.store import NewRollout, RolloutWriter
from esprobe.store.storable import storable
from esprobe.tasks import load_task

BATCH = 4096
"""Rollouts committed together."""

FOREIGN = "imported"
"""The task's name where the problems are known by the file alone."""

_NO_PLAN = Extent(0, 0, 0, 0, 0)
"""What is recorded as asked for where the rollouts fill no rectangle of problems and seeds."""


@dataclass(frozen=True)
class Source:
    """What is to be imported.

    Attributes:
        path: a file of JSON lines.
        label: the condition's name.
        model: who made the rollouts, for people.
        task: the task whose problems the indices name and whose scorer gives the verdicts; None: the file has both.
        data: the task's data set, as the sampling commands take it.
        temperature: at which they were drawn, if known.
        command: what was typed, for the record.
    """

    path: Path
    label: str
    model: str
    task: str | None
    data: str | None
    temperature: float | None
    command: str


@dataclass(frozen=True)
class Imported:
    """What came of it: rollouts that were new, those that were there already, and the problems they are about."""

    new: int
    known: int
    problems: int


@dataclass(frozen=True)
class _Ground:
    """The problems of an import, and how a rollout of theirs is judged."""

    task: str
    data_digest: str
    scorer: str
    problems: dict[int | str, tuple[Problem, Prompt]]
    judge: Callable[[ImportedRow], Score]
    extent: Extent


def import_rollouts(source: Source, database: Path) -> Imported:
    """Store every rollout of a file; those that are stored already are left as they are.

    Raises:
        DataError: the file is not of the form, or a line's problem or verdict is missing; nothing was stored.
        RolloutConflictError: a problem and seed are stored with another completion; earlier batches stay.
        UsageError: there is no such task.
        StoreError: the database cannot be written.
    """
    ground = _known_task(source) if source.task is not None else _foreign(source)
    condition = Condition(
        task=ground.task,
        data_digest=ground.data_digest,
        prompt="imported",
        prompt_digest=digest_of([prompt.digest for _, prompt in ground.problems.values()]),
        model=storable(source.model),
        model_fingerprint=digest_of(["imported", storable(source.model)]),
        dtype="unknown",
        engine="imported",
        max_tokens=0,
        temperature=source.temperature,
        source=storable(source.label),
    )
    task_digest = digest_of([ground.task, ground.data_digest, "imported"])
    with RolloutWriter.open(database) as store:
        condition_id = store.register_condition(condition)
        ids = store.register_problems(ground.task, task_digest, ground.problems.values())
        session = store.begin_session(
            source.command,
            ground.scorer,
            {condition_id: ground.extent},
            {"engine": "imported", "file": storable(str(source.path)), "sha256": _sha256(source.path)},
            {"esprobe": esprobe.__version__},
            {},
        )
        outcome, new, rollouts = "failed", 0, 0
        try:
            for batch in _batches(source, ground, condition_id, ids):
                rollouts += len(batch)
                new += store.add(session, batch, {})
            outcome = "done"
        finally:
            store.end_session(session, outcome)
    return Imported(new, rollouts - new, len(ground.problems))


class _SeedSet:
    """Seeds as runs of consecutive ones: a file of millions of rollouts has a run for each problem, in any order."""

    def __init__(self) -> None:
        self._runs: list[list[int]] = []
        """[first, last] of each run, ascending and apart."""

    def add(self, seed: int) -> bool:
        """Whether the seed is new."""
        runs = self._runs
        place = bisect_right(runs, seed, key=lambda run: run[0])
        if place and seed <= runs[place - 1][1]:
            return False
        follows = place > 0 and runs[place - 1][1] == seed - 1
        precedes = place < len(runs) and runs[place][0] == seed + 1
        if follows and precedes:
            runs[place - 1][1] = runs.pop(place)[1]
        elif follows:
            runs[place - 1][1] = seed
        elif precedes:
            runs[place][0] = seed
        else:
            runs.insert(place, [seed, seed])
        return True


class _Drawn:
    """Seeds of the rows of a file, in its order: a row without one has the next of its problem."""

    def __init__(self) -> None:
        self._next: dict[int | str, int] = {}
        self._span: dict[int | str, tuple[int, int, int]] = {}
        self._seeds: dict[int | str, _SeedSet] = {}
        self._first: ImportedRow | None = None

    def check(self, path: Path, row: ImportedRow) -> None:
        """Refuse a row that can be no further rollout of one condition.

        Raises:
            DataError: its problem and seed were there before, it is of another condition than the first row, or it was
                drawn under a perturbation.
        """
        self._first = self._first or row
        alone = "an import is one condition, so import each by itself (esprobe export --condition picks one)"
        if row.condition != self._first.condition:
            raise DataError(
                f"line {row.line} of {path} is of condition {row.condition!r} and line {self._first.line} of "
                f"{self._first.condition!r}: {alone}"
            )
        if row.kind == Kind.PERTURBATION:
            raise DataError(
                f"line {row.line} of {path} was drawn under a perturbation, which all rollouts of its seed share, and "
                f"an import takes rollouts as independent: its intervals would be too narrow. Join databases with: "
                f'esprobe merge; or leave "kind" out, if you know better'
            )
        seed, seeds = self.seed(row), self._seeds.setdefault(row.problem, _SeedSet())
        if not seeds.add(seed):
            raise DataError(
                f"line {row.line} of {path} is seed {seed} of problem {str(row.problem)[:40]!r} a second time, and one "
                f"key names one rollout; give each its own seed or none. If the file holds several conditions: {alone}"
            )

    def seed(self, row: ImportedRow) -> int:
        seed = self._next.get(row.problem, 0) if row.seed is None else row.seed
        self._next[row.problem] = seed + 1
        first, last, count = self._span.get(row.problem, (seed, seed, 0))
        self._span[row.problem] = (min(first, seed), max(last, seed), count + 1)
        return seed

    def extent(self, indices: dict[int | str, int]) -> Extent:
        """The rectangle that the rows fill, if they fill one."""
        spans, first, stop = set(self._span.values()), min(indices.values()), max(indices.values()) + 1
        seed, last, count = next(iter(spans))
        if len(spans) > 1 or last + 1 - seed != count or stop - first != len(indices):
            return _NO_PLAN
        return Extent(first, stop, seed, count, len(indices))


def _known_task(source: Source) -> _Ground:
    assert source.task is not None
    task = load_task(source.task)
    data = task.data_set(source.data)
    scorer, problems = task.scorers[0], data.problems
    used: dict[int | str, tuple[Problem, Prompt]] = {}
    drawn = _Drawn()
    for row in read_rows(source.path):
        drawn.check(source.path, row)
        if not isinstance(row.problem, int) or row.problem >= len(problems):
            raise DataError(
                f"line {row.line} of {source.path} is about problem {str(row.problem)[:40]!r}, and {data.source} has "
                f"the indices 0 to {len(problems) - 1}; name the data with --data, or leave out --task"
            )
        if row.problem not in used:
            used[row.problem] = (problems[row.problem], task.prompt(problems[row.problem], task.prompts[0]))

    def judge(row: ImportedRow) -> Score:
        return task.score(used[row.problem][0], row.completion, scorer)

    if not used:
        raise DataError(f"{source.path} holds no rollout, so there is nothing to import")
    extent = drawn.extent({name: problem.index for name, (problem, _) in used.items()})
    return _Ground(task.name, data.digest, scorer, dict(sorted(used.items())), judge, extent)


def _foreign(source: Source) -> _Ground:
    names: dict[int | str, None] = {}
    drawn = _Drawn()
    for row in read_rows(source.path):
        drawn.check(source.path, row)
        names[row.problem] = None
        if row.correct is None:
            raise DataError(
                f"line {row.line} of {source.path} does not say whether it is correct, and no task was named to score "
                f'it; add "correct" (or "is_corrects" beside samples), or use --task'
            )
    if not names:
        raise DataError(f"{source.path} holds no rollout, so there is nothing to import")
    if all(isinstance(name, int) for name in names):
        numbered = {name: int(name) for name in sorted(names, key=int)}
    else:
        numbered = {name: number for number, name in enumerate(names)}
    problems = {
        name: (Problem(index, {"problem": name}, "all"), Prompt((("problem", str(name)),), ""))
        for name, index in numbered.items()
    }

    def judge(row: ImportedRow) -> Score:
        reward = float(bool(row.correct)) if row.reward is None else row.reward
        return Score(reward, bool(row.correct), row.answer, None if row.correct else row.failure or "unknown")

    return _Ground(FOREIGN, digest_of(list(numbered)), GIVEN, problems, judge, drawn.extent(numbered))


def _batches(source: Source, ground: _Ground, condition_id: int, ids: dict[int, int]) -> Iterator[list[NewRollout]]:
    drawn = _Drawn()
    batch = []
    for row in read_rows(source.path):
        problem, prompt = ground.problems[row.problem]
        request = Request(ids[problem.index], problem.index, drawn.seed(row), prompt, max_tokens=0)
        completion = Completion(request, row.completion, row.token_count, row.finish_reason)  # type: ignore[arg-type]
        batch.append(NewRollout(condition_id, completion, ground.judge(row)))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
