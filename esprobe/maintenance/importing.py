"""Importing rollouts of other tools as a condition of their own, so that the statistics apply to them too.

Owns how a file's problems are numbered and whose verdicts are stored: those of the task's scorer, or the file's.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import esprobe
from esprobe.errors import DataError, RolloutConflictError, TaskError, UsageError
from esprobe.maintenance.agreement import Agreement, Tally
from esprobe.maintenance.import_forms import Reading, open_rollouts
from esprobe.maintenance.import_forms.monkeys import files_of
from esprobe.maintenance.import_label import check_is_free, check_label
from esprobe.maintenance.import_origin import SharedNoise, check_data
from esprobe.maintenance.import_seeds import RowSeeds
from esprobe.maintenance.imported_rows import ImportedRow, NameProblem, read_rows
from esprobe.maintenance.matching import ProblemFinder
from esprobe.maintenance.trust import Trust
from esprobe.records import FOREIGN, GIVEN, Extent
from esprobe.records.guessing import Guess
from esprobe.spec import Completion, Condition, Problem, Prompt, Request, Score, digest_of
from esprobe.store import NewRollout, RolloutWriter
from esprobe.store.guessing_writer import record_guess
from esprobe.store.storable import storable
from esprobe.tasks import BUILT_IN, DataSet, Guessable, Task, load_task
from esprobe.tasks.guessing import LABEL, guess_of
from esprobe.tasks.judging import Scorer
from esprobe.tasks.source import source_digest

BATCH = 4096
"""Rollouts committed together."""


@dataclass(frozen=True)
class Source:
    """An import.

    Attributes:
        path: a file of a known form, or a folder of them.
        label: the condition's name.
        model: the model that generated the rollouts, for people.
        task: the task that the problem indices refer to and whose scorer gives the verdicts; None: the file has both.
        data: the task's data set, as in the sampling commands.
        temperature: their sampling temperature; None if not known.
        command: the command line, recorded with the session.
        trust: whose verdicts are stored where the file has some and a task is given; None: the task's, if hardly any
            differ.
        score: which of several verdicts of the file is meant.
    """

    path: Path
    label: str
    model: str
    task: str | None
    data: str | None
    temperature: float | None
    command: str
    trust: Trust | None = None
    score: str | None = None


@dataclass(frozen=True)
class Imported:
    """The result.

    Attributes:
        new: rollouts that were new.
        known: rollouts that were already stored.
        problems: number of problems.
        by_content: rollouts whose problem was found in the task's data by content.
        scorer: the scorer of the stored verdicts.
        tally: the file's verdicts beside those of the task; empty if only one of both has any, or the file is trusted.
        failures: the first text on which the scorer failed.
        form: the form of the file, for people.
        mapping: what of it became what.
        judged: rollouts with a verdict of the file's.
        correct: those of them that the file calls correct.
        failed: requests without a completion, which were left out.
        passed: rollouts that the task's scorer calls correct; None where the file's verdicts were stored.
    """

    new: int
    known: int
    problems: int
    by_content: int
    scorer: str
    tally: Tally
    failures: tuple[str, ...]
    form: str
    mapping: str
    judged: int
    correct: int
    failed: int
    passed: int | None


@dataclass(frozen=True)
class _Prepared:
    """A checked import: its problems, and how its rollouts are scored."""

    task: str
    data_digest: str
    scorer: str
    problems: dict[int | str, tuple[Problem, Prompt]]
    judge: Callable[[ImportedRow], Score]
    extent: Extent
    name_problem: NameProblem | None
    noise: SharedNoise | None
    judged: int
    correct: int
    by_content: int = 0
    tally: Tally = field(default_factory=Tally)
    failures: dict[str, None] = field(default_factory=dict)
    scorer_digest: str | None = None
    guess: Guess | None = None


def import_rollouts(source: Source, database: Path) -> Imported:
    """Store every rollout of a file; those that are already stored are skipped.

    Raises:
        DataError: the file has no known form, a rollout's problem or verdict is missing, it was sampled on other data,
            or its verdicts differ from the task's; nothing was stored.
        LibraryError: a library that reads the file is not installed.
        RolloutConflictError: a problem and seed are stored with another completion or verdict; earlier batches stay.
        UsageError: there is no such task, the label names something else, or options contradict each other.
        StoreError: the database cannot be written.
    """
    tasks = [load_task(name) for name in {*BUILT_IN, *([] if source.task is None else [source.task])}]
    check_label(source.label, [LABEL, *(task.null_label for task in tasks if isinstance(task, Guessable))])
    if source.trust is not None and source.task is None:
        raise UsageError(
            f"--trust {source.trust} decides between the file's verdicts and a task's, but no task is given; "
            f"add --task, or leave out --trust"
        )
    reading = open_rollouts(source.path, source.score)
    prepared = _with_task(source, reading, source.task) if source.task is not None else _without_task(source, reading)
    condition = _condition(source, prepared)
    task_digest = digest_of([prepared.task, prepared.data_digest, "imported"])
    with RolloutWriter.open(database) as store:
        check_is_free(condition.label, condition, store.conditions())
        condition_id = store.register_condition(condition)
        ids = store.register_problems(prepared.task, task_digest, prepared.problems.values())
        session = store.begin_session(
            source.command,
            prepared.scorer,
            {condition_id: prepared.extent},
            {"engine": "imported", "file": storable(str(source.path)), "sha256": _sha256(source.path)},
            {"esprobe": esprobe.__version__},
            {},
            scorer_digest=prepared.scorer_digest,
        )
        outcome, new, rollouts, passed = "failed", 0, 0, 0
        if prepared.guess is not None:
            record_guess(store, prepared.guess)
        try:
            for batch in _batches(reading, prepared, condition_id, ids):
                rollouts += len(batch)
                passed += sum(rollout.score.correct for rollout in batch)
                new += store.add(session, batch, {})
            outcome = "done"
        except RolloutConflictError as err:
            said = str(err).partition(", and a database")[0]
            raise RolloutConflictError(
                f"{said}, and a label can hold only one of them; nothing was overwritten. Import the file with another "
                f"--label than {condition.label!r}, also if only its verdicts are others"
            ) from err
        finally:
            store.end_session(session, outcome)
    return Imported(
        new,
        rollouts - new,
        len(prepared.problems),
        prepared.by_content,
        prepared.scorer,
        prepared.tally,
        tuple(prepared.failures),
        reading.form,
        reading.plan.mapping,
        prepared.judged,
        prepared.correct,
        reading.failed,
        None if prepared.scorer == GIVEN else passed,
    )


def _condition(source: Source, prepared: _Prepared) -> Condition:
    """The condition of an import.

    Raises:
        UsageError: it has a temperature and was sampled under a perturbation.
    """
    model = storable(source.model)
    condition = Condition(
        task=prepared.task,
        data_digest=prepared.data_digest,
        prompt="imported",
        prompt_digest=digest_of([prompt.digest for _, prompt in prepared.problems.values()]),
        model=model,
        model_fingerprint=digest_of(["imported", model]),
        dtype="unknown",
        engine="imported",
        max_tokens=0,
        temperature=source.temperature,
        source=storable(source.label),
    )
    noise = prepared.noise
    if noise is None:
        return condition
    if source.temperature is not None:
        raise UsageError(
            f"--temperature {source.temperature:g} contradicts {source.path}, whose rollouts were sampled under "
            f"sigma {noise.sigma:g}; leave out --temperature"
        )
    return replace(
        condition,
        model=noise.model or model,
        model_fingerprint=noise.model_fingerprint,
        dtype=noise.dtype or "unknown",
        engine=noise.engine or "imported",
        sigma=noise.sigma,
        noise=noise.noise,
        scope=noise.scope,
    )


def _with_task(source: Source, reading: Reading, name: str) -> _Prepared:
    task = load_task(name)
    data = task.data_set(source.data)
    scorer, problems = task.scorers[0], data.problems
    failures: dict[str, None] = {}
    score = Scorer(task, scorer, failures.setdefault, None)
    finder = ProblemFinder(task, data)
    agreement = Agreement(task, problems, score)
    used: dict[int | str, tuple[Problem, Prompt]] = {}
    row_seeds, by_content, judged, correct = RowSeeds(), 0, 0, 0
    for row in read_rows(reading, finder):
        row_seeds.check(source.path, row)
        check_data(source.path, row, task.name, data)
        if row.problem not in used:
            problem = problems[int(row.problem)]
            used[row.problem] = (problem, task.prompt(problem, task.prompts[0]))
        by_content += row.by_content
        judged += row.correct is not None
        correct += bool(row.correct)
        if source.trust is Trust.file:
            _require_verdict(reading, row, "leave out --trust file, so that the task's scorer gives them")
        else:
            agreement.add(row)
    if not used:
        raise _nothing(reading)
    if source.trust is None:
        agreement.require(source.path, read_rows(reading, finder))

    def judge(row: ImportedRow) -> Score:
        return score(used[row.problem][0], row.completion)

    return _Prepared(
        task=task.name,
        data_digest=data.digest,
        scorer=GIVEN if source.trust is Trust.file else scorer,
        problems=dict(sorted(used.items())),
        judge=_given if source.trust is Trust.file else judge,
        extent=row_seeds.extent({name: problem.index for name, (problem, _) in used.items()}),
        name_problem=finder,
        noise=row_seeds.noise,
        judged=judged,
        correct=correct,
        by_content=by_content,
        tally=agreement.tally,
        failures=failures,
        scorer_digest=None if source.trust is Trust.file else source_digest(task),
        guess=_guess(task, data, [problem for problem, _ in used.values()], failures),
    )


def _guess(task: Task, data: DataSet, used: Sequence[Problem], failures: dict[str, None]) -> Guess | None:
    try:
        return guess_of(task, data, used)
    except TaskError as error:
        failures.setdefault(f"reports will lack the curve of random guessing: {error}")
        return None


def _without_task(source: Source, reading: Reading) -> _Prepared:
    names: dict[int | str, None] = {}
    row_seeds, rows, correct = RowSeeds(), 0, 0
    for row in read_rows(reading):
        row_seeds.check(source.path, row)
        names[row.problem] = None
        rows += 1
        correct += bool(row.correct)
        _require_verdict(reading, row, "add --task NAME, whose scorer gives them")
    if not names:
        raise _nothing(reading)
    if all(isinstance(name, int) for name in names):
        numbered = {name: int(name) for name in sorted(names, key=int)}
    else:
        numbered = {name: number for number, name in enumerate(names)}
    problems = {
        name: (Problem(index, {"problem": name}, "all"), Prompt((("problem", str(name)),), ""))
        for name, index in numbered.items()
    }

    return _Prepared(
        task=FOREIGN,
        data_digest=digest_of(list(numbered)),
        scorer=GIVEN,
        problems=problems,
        judge=_given,
        extent=row_seeds.extent(numbered),
        name_problem=None,
        noise=row_seeds.noise,
        judged=rows,
        correct=correct,
    )


def _require_verdict(reading: Reading, row: ImportedRow, fix: str) -> None:
    if row.correct is not None:
        return
    if reading.plan.no_verdict is not None:
        raise DataError(
            f"{reading.path}, read as {reading.form}, does not say whether a completion is correct "
            f"({reading.plan.no_verdict}), so there are no verdicts to store; {fix}"
        )
    raise DataError(
        f"{row.place} of {reading.path} does not say whether it is correct, so there are no verdicts to store; {fix}, "
        f'or add "correct" (or "is_corrects" beside samples) to the file'
    )


def _nothing(reading: Reading) -> DataError:
    failed = f" ({reading.failed:,} requests of it failed)" if reading.failed else ""
    return DataError(f"{reading.path} holds no rollout{failed}, so there is nothing to import")


def _given(row: ImportedRow) -> Score:
    """The file's own verdict on a row that has one."""
    reward = float(bool(row.correct)) if row.reward is None else row.reward
    return Score(reward, bool(row.correct), row.answer, None if row.correct else row.failure or "unknown")


def _batches(
    reading: Reading, prepared: _Prepared, condition_id: int, ids: dict[int, int]
) -> Iterator[list[NewRollout]]:
    row_seeds = RowSeeds()
    batch = []
    for row in read_rows(reading, prepared.name_problem):
        problem, prompt = prepared.problems[row.problem]
        request = Request(ids[problem.index], problem.index, row_seeds.seed(row), prompt, max_tokens=0)
        completion = Completion(request, row.completion, row.token_count, row.finish_reason)
        batch.append(NewRollout(condition_id, completion, prepared.judge(row)))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _sha256(path: Path) -> str:
    """The digest of a file; that of a folder is of its files' names and digests."""
    if path.is_dir():
        return digest_of([[storable(one.name), _sha256(one)] for one in files_of(path)])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
