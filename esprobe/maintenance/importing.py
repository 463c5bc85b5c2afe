"""Importing rollouts of other tools as a condition of their own, so that the statistics apply to them too.

Owns how a file's problems are numbered and where verdicts come from: the scorer of the task, or the file without one.
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
"""The task name recorded if no task was given, so that only the file describes the problems."""

_NO_PLAN = Extent(0, 0, 0, 0, 0)
"""The extent recorded if the rollouts do not fill a rectangle of problems and seeds."""


@dataclass(frozen=True)
class Source:
    """An import.

    Attributes:
        path: a file of JSON lines.
        label: the condition's name.
        model: the model that generated the rollouts, for people.
        task: the task that the problem indices refer to and whose scorer gives the verdicts; None: the file has both.
        data: the task's data set, as in the sampling commands.
        temperature: their sampling temperature; None if not known.
        command: the command line, recorded with the session.
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
    """The result: rollouts that were new, those that were already stored (``known``), and the number of problems."""

    new: int
    known: int
    problems: int


@dataclass(frozen=True)
class _Prepared:
    """A checked import: its problems, and how its rollouts are scored."""

    task: str
    data_digest: str
    scorer: str
    problems: dict[int | str, tuple[Problem, Prompt]]
    judge: Callable[[ImportedRow], Score]
    extent: Extent


def import_rollouts(source: Source, database: Path) -> Imported:
    """Store every rollout of a file; those that are already stored are skipped.

    Raises:
        DataError: the file has another format, or a line's problem or verdict is missing; nothing was stored.
        RolloutConflictError: a problem and seed are already stored with another completion; earlier batches stay.
        UsageError: there is no such task.
        StoreError: the database cannot be written.
    """
    prepared = _with_task(source) if source.task is not None else _without_task(source)
    condition = Condition(
        task=prepared.task,
        data_digest=prepared.data_digest,
        prompt="imported",
        prompt_digest=digest_of([prompt.digest for _, prompt in prepared.problems.values()]),
        model=storable(source.model),
        model_fingerprint=digest_of(["imported", storable(source.model)]),
        dtype="unknown",
        engine="imported",
        max_tokens=0,
        temperature=source.temperature,
        source=storable(source.label),
    )
    task_digest = digest_of([prepared.task, prepared.data_digest, "imported"])
    with RolloutWriter.open(database) as store:
        condition_id = store.register_condition(condition)
        ids = store.register_problems(prepared.task, task_digest, prepared.problems.values())
        session = store.begin_session(
            source.command,
            prepared.scorer,
            {condition_id: prepared.extent},
            {"engine": "imported", "file": storable(str(source.path)), "sha256": _sha256(source.path)},
            {"esprobe": esprobe.__version__},
            {},
        )
        outcome, new, rollouts = "failed", 0, 0
        try:
            for batch in _batches(source, prepared, condition_id, ids):
                rollouts += len(batch)
                new += store.add(session, batch, {})
            outcome = "done"
        finally:
            store.end_session(session, outcome)
    return Imported(new, rollouts - new, len(prepared.problems))


class _SeedSet:
    """A set of seeds, stored as runs of consecutive ones: usually one run per problem, whatever its length."""

    def __init__(self) -> None:
        self._runs: list[list[int]] = []
        """[first, last] of each run, ascending, with gaps between them."""

    def add(self, seed: int) -> bool:
        """Add a seed; returns whether it was new."""
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


class _RowSeeds:
    """The seeds of a file's rows, in order: a row without a seed gets the next one of its problem."""

    def __init__(self) -> None:
        self._next: dict[int | str, int] = {}
        self._span: dict[int | str, tuple[int, int, int]] = {}
        self._seeds: dict[int | str, _SeedSet] = {}
        self._first: ImportedRow | None = None

    def check(self, path: Path, row: ImportedRow) -> None:
        """Refuse a row that cannot belong to the same condition as the rows before it.

        Raises:
            DataError: an earlier row has the same problem and seed, its condition differs from the first row's, or it
                was sampled under a perturbation.
        """
        self._first = self._first or row
        separately = "an import is one condition, so import each separately (esprobe export --condition selects one)"
        if row.condition != self._first.condition:
            raise DataError(
                f"line {row.line} of {path} is of condition {row.condition!r} and line {self._first.line} of "
                f"{self._first.condition!r}; {separately}"
            )
        if row.kind == Kind.PERTURBATION:
            raise DataError(
                f"line {row.line} of {path} was sampled under a perturbation, which all rollouts of its seed share, "
                f"but an import treats rollouts as independent, so its intervals would be too narrow. To combine "
                f'databases, use: esprobe merge; if these rollouts are independent, remove "kind" from the file'
            )
        seed, seeds = self.seed(row), self._seeds.setdefault(row.problem, _SeedSet())
        if not seeds.add(seed):
            raise DataError(
                f"line {row.line} of {path} repeats seed {seed} of problem {str(row.problem)[:40]!r}, and a problem "
                f"has one rollout per seed; give each its own seed, or none. If the file holds several conditions: "
                f"{separately}"
            )

    def seed(self, row: ImportedRow) -> int:
        seed = self._next.get(row.problem, 0) if row.seed is None else row.seed
        self._next[row.problem] = seed + 1
        first, last, count = self._span.get(row.problem, (seed, seed, 0))
        self._span[row.problem] = (min(first, seed), max(last, seed), count + 1)
        return seed

    def extent(self, indices: dict[int | str, int]) -> Extent:
        """The rectangle of problems and seeds that the rows fill; ``_NO_PLAN`` if they fill none."""
        spans, first, stop = set(self._span.values()), min(indices.values()), max(indices.values()) + 1
        seed, last, count = next(iter(spans))
        if len(spans) > 1 or last + 1 - seed != count or stop - first != len(indices):
            return _NO_PLAN
        return Extent(first, stop, seed, count, len(indices))


def _with_task(source: Source) -> _Prepared:
    assert source.task is not None
    task = load_task(source.task)
    data = task.data_set(source.data)
    scorer, problems = task.scorers[0], data.problems
    used: dict[int | str, tuple[Problem, Prompt]] = {}
    row_seeds = _RowSeeds()
    for row in read_rows(source.path):
        row_seeds.check(source.path, row)
        if not isinstance(row.problem, int) or row.problem >= len(problems):
            raise DataError(
                f"line {row.line} of {source.path} refers to problem {str(row.problem)[:40]!r}, but {data.source} has "
                f"the indices 0 to {len(problems) - 1}; use the right data with --data, or leave out --task"
            )
        if row.problem not in used:
            used[row.problem] = (problems[row.problem], task.prompt(problems[row.problem], task.prompts[0]))

    def judge(row: ImportedRow) -> Score:
        return task.score(used[row.problem][0], row.completion, scorer)

    if not used:
        raise DataError(f"{source.path} holds no rollout, so there is nothing to import")
    extent = row_seeds.extent({name: problem.index for name, (problem, _) in used.items()})
    return _Prepared(task.name, data.digest, scorer, dict(sorted(used.items())), judge, extent)


def _without_task(source: Source) -> _Prepared:
    names: dict[int | str, None] = {}
    row_seeds = _RowSeeds()
    for row in read_rows(source.path):
        row_seeds.check(source.path, row)
        names[row.problem] = None
        if row.correct is None:
            raise DataError(
                f"line {row.line} of {source.path} does not say whether it is correct, and no task was given to score "
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

    return _Prepared(FOREIGN, digest_of(list(numbered)), GIVEN, problems, judge, row_seeds.extent(numbered))


def _batches(source: Source, prepared: _Prepared, condition_id: int, ids: dict[int, int]) -> Iterator[list[NewRollout]]:
    row_seeds = _RowSeeds()
    batch = []
    for row in read_rows(source.path):
        problem, prompt = prepared.problems[row.problem]
        request = Request(ids[problem.index], problem.index, row_seeds.seed(row), prompt, max_tokens=0)
        completion = Completion(request, row.completion, row.token_count, row.finish_reason)  # type: ignore[arg-type]
        batch.append(NewRollout(condition_id, completion, prepared.judge(row)))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
