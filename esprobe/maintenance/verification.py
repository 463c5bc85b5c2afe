"""Whether a database still holds what was written into it, and whether its verdicts are its scorers'.

Owns which questions are asked and what becomes of their answers. Does not know how a question is answered.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from esprobe.errors import StoreError, UsageError
from esprobe.maintenance.rescoring import Judge
from esprobe.store.checks import QUESTIONS, listed, unanswerable
from esprobe.store.reader import RolloutStore
from esprobe.store.session_verdicts import ScoredText, VerdictReader
from esprobe.store.spot import spot_texts


@dataclass(frozen=True)
class Answer:
    """One question and what was found.

    Attributes:
        question: its name, such as "structure".
        found: what is off, in words; empty if nothing is.
        note: what could not be asked, and why; empty if everything was.
        asked: False if nothing at all could be, so that nothing found means nothing.
    """

    question: str
    found: tuple[str, ...]
    note: str = ""
    asked: bool = True


def verify(database: Path, sample: int | None) -> Iterator[Answer]:
    """Ask ``database`` every question there is, answer by answer.

    Args:
        database: the file; it is only read.
        sample: how many verdicts of each condition to derive again at least, drawn by whole seeds; None for all.

    Raises:
        StoreError: the file cannot be opened at all.
    """
    with VerdictReader.open(database) as store:
        for name, ask in QUESTIONS.items():
            with store.snapshot():  # a sampler may be writing
                answer = _answer(store, name, ask)
            yield answer
        yield _verdicts(store, sample)


def _answer(store: VerdictReader, name: str, ask: Callable[[RolloutStore], Iterator[str]]) -> Answer:
    try:
        why = unanswerable(store, name)
    except StoreError as err:  # what cannot even be looked at is damaged
        return Answer(name, (str(err),))
    return Answer(name, (), why, asked=False) if why else Answer(name, _findings(partial(ask, store)))


def _findings(ask: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """The findings; that a question cannot be answered is one, for then the file cannot be read."""
    found: list[str] = []
    try:
        found += ask()
    except StoreError as err:
        found.append(str(err))
    return tuple(dict.fromkeys(found))


def _verdicts(store: VerdictReader, sample: int | None) -> Answer:
    notes: dict[str, None] = {}
    derived = 0

    def ask() -> Iterator[str]:
        nonlocal derived
        judge = Judge(store)
        scorers: dict[int, str] = {}
        problems = store.task_problems()
        for session in store.sessions():
            if session.has_given_verdicts:
                notes["verdicts that came with an import"] = None
                continue
            try:
                for task in store.tasks(session.id):
                    scorers[session.id] = judge.scorer(task, session.scorer, session.scorer)
            except UsageError as err:
                notes[str(err)] = None
        for session_id, text in _texts(store, sample):
            scorer = scorers.get(session_id)
            if scorer is None or text.problem_id not in problems:
                continue  # that a problem is not there has been found already
            derived += 1
            if (verdict := judge.verdict(text, scorer)) != text.score:
                yield (
                    f"condition {text.condition_id}, problem id {text.problem_id}, seed {text.seed}: {scorer} makes it "
                    f"{verdict.reward:g} ({verdict.failure or 'correct'}), and {text.score.reward:g} "
                    f"({text.score.failure or 'correct'}) is stored"
                )

    found = _findings(lambda: listed(ask()))
    notes_shown = [f"{derived:,} derived again", *(f"not derived: {note}" for note in notes)]
    return Answer("verdicts", found, "; ".join(notes_shown), asked=derived > 0 or not notes)


def _texts(store: VerdictReader, sample: int | None) -> Iterator[tuple[int, ScoredText]]:
    if sample is not None:
        for stored in store.conditions():
            yield from spot_texts(store, stored.id, sample)
        return
    for session in store.sessions():
        for batch in store.scored_texts(session.id):
            for text in batch:
                yield session.id, text
