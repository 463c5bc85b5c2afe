"""Checking whether a database is undamaged, and whether its scorers reproduce its verdicts.

Owns which checks run and how their results are collected. The checks themselves are in ``esprobe.store.checks`` and
``training_checks``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from esprobe.errors import StoreError, TaskError, UsageError
from esprobe.maintenance.judging import Judge
from esprobe.maintenance.training_checks import rescored_runs, training
from esprobe.store.checks import QUESTIONS, listed, unanswerable
from esprobe.store.reader import RolloutStore
from esprobe.store.session_verdicts import ScoredText, VerdictReader
from esprobe.store.spot import spot_texts
from esprobe.tasks.judging import SCORER_ERROR
from esprobe.tasks.scoring import TIMEOUT


@dataclass(frozen=True)
class Answer:
    """One check and its findings.

    Attributes:
        question: name of the check, such as "structure".
        found: one sentence per defect; empty if there is none.
        note: what could not be checked, and why; or how much was checked.
        asked: False if nothing could be checked, so that no findings do not mean that the file is undamaged.
    """

    question: str
    found: tuple[str, ...]
    note: str = ""
    asked: bool = True


def verify(database: Path, sample: int | None) -> Iterator[Answer]:
    """Run every check on ``database``, and yield each result as it is ready.

    Args:
        database: the file; it is only read.
        sample: least number of verdicts to recompute per condition, chosen by whole seeds; None for all.

    Raises:
        StoreError: the file cannot be opened at all.
    """
    with VerdictReader.open(database) as store:
        for name, ask in QUESTIONS.items():
            with store.snapshot():  # a sampler may be writing
                answer = _answer(store, name, ask)
            yield answer
        with store.snapshot():
            answer = _training(store)
        yield answer
        yield _verdicts(store, sample)


def _answer(store: VerdictReader, name: str, ask: Callable[[RolloutStore], Iterator[str]]) -> Answer:
    try:
        why = unanswerable(store, name)
    except StoreError as err:  # a file that cannot even be read is damaged
        return Answer(name, (str(err),))
    return Answer(name, (), why, asked=False) if why else Answer(name, _findings(partial(ask, store)))


def _training(store: VerdictReader) -> Answer:
    notes: list[str] = []

    def ask() -> Iterator[str]:
        notes.extend(rescored_runs(store).values())
        yield from listed(training(store))

    return Answer("training", _findings(ask), "; ".join(notes))


def _findings(ask: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """The findings; an error while reading the file is one of them."""
    findings: list[str] = []
    try:
        findings += ask()
    except StoreError as err:
        findings.append(str(err))
    return tuple(dict.fromkeys(findings))


def _verdicts(store: VerdictReader, sample: int | None) -> Answer:
    notes: dict[str, None] = {}
    recomputed = 0

    def ask() -> Iterator[str]:
        with Judge(store, lambda message: notes.setdefault(message)) as judge:
            yield from recomputing(judge)

    def recomputing(judge: Judge) -> Iterator[str]:
        nonlocal recomputed
        scorers: dict[int, str] = {}
        problems = store.task_problems()
        for session in store.sessions():
            if session.has_given_verdicts:
                notes["verdicts of imported rollouts"] = None
                continue
            try:
                for task in store.tasks(session.id):
                    scorer = judge.scorer(task, session.scorer, session.scorer)
                    if judge.has_changed(task, session):
                        notes[f"verdicts of {scorer}, whose source has changed since"] = None
                    else:
                        scorers[session.id] = scorer
            except (UsageError, TaskError) as err:
                notes[str(err)] = None
        for session_id, text in _texts(store, sample):
            scorer_ = scorers.get(session_id)
            if scorer_ is None or text.problem_id not in problems:
                continue  # the check of references reports a missing problem
            if text.score.failure in (SCORER_ERROR, TIMEOUT.failure):
                continue  # which may not happen again
            recomputed += 1
            if (verdict := judge.verdict(text, scorer_)) != text.score:
                yield (
                    f"condition {text.condition_id}, problem id {text.problem_id}, seed {text.seed}: {scorer_} gives "
                    f"reward {verdict.reward:g} ({verdict.failure or 'correct'}), but reward {text.score.reward:g} "
                    f"({text.score.failure or 'correct'}) is stored"
                )

    findings = _findings(lambda: listed(ask()))
    notes_shown = [f"{recomputed:,} recomputed", *(f"not recomputed: {note}" for note in notes)]
    return Answer("verdicts", findings, "; ".join(notes_shown), asked=recomputed > 0 or not notes)


def _texts(store: VerdictReader, sample: int | None) -> Iterator[tuple[int, ScoredText]]:
    if sample is not None:
        for stored in store.conditions():
            yield from spot_texts(store, stored.id, sample)
        return
    for session in store.sessions():
        for batch in store.scored_texts(session.id):
            for text in batch:
                yield session.id, text
