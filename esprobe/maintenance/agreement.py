"""Whether the verdicts that a file carries are those of the task, and what may be the cause if they are not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from esprobe.errors import DataError
from esprobe.maintenance.imported_rows import ImportedRow
from esprobe.spec import Problem
from esprobe.tasks import Task
from esprobe.tasks.judging import Scorer

MOST_DIFFERING = 100
"""One row in so many may differ: rounding or another edition of a scorer does that, other data do more."""

MOST_DIFFERING_CORRECT = 10
"""The same of the rows that either side calls correct: where hardly anything is, any other data agree on the rest."""

_LEAST_CORRECT = 20
"""Fewer such rows tell too little."""

_SHOWN = 3


@dataclass
class Tally:
    """Rows that were compared.

    Attributes:
        rows: how many.
        differing: those of different verdicts.
        claimed: those that the file calls correct.
        confirmed: those that both call correct.
    """

    rows: int = 0
    differing: int = 0
    claimed: int = 0
    confirmed: int = 0

    def add(self, claimed: bool, found: bool) -> None:
        """Count a row that the file calls correct or not (``claimed``), and a scorer (``found``)."""
        self.rows += 1
        self.differing += claimed != found
        self.claimed += claimed
        self.confirmed += claimed and found

    @property
    def is_close(self) -> bool:
        """Whether few enough rows differ: of all, and of those that either side calls correct."""
        few = self.differing * MOST_DIFFERING <= self.rows
        return few and (self.told < _LEAST_CORRECT or self.differing * MOST_DIFFERING_CORRECT <= self.told)

    @property
    def told(self) -> int:
        """Rows that either side calls correct; every row that differs is one of them."""
        return self.confirmed + self.differing

    def explains(self, rows: int) -> bool:
        """Whether it is close on most of ``rows``, and on what the file calls correct.

        Hardly anything is correct in most files, so that other data, too, would agree on the rest.
        """
        return self.is_close and 2 * self.rows > rows and 2 * self.confirmed > self.claimed


@dataclass
class Agreement:
    """The verdicts of a file beside those of a task's scorer.

    Attributes:
        tally: the comparison.
        first: the first rows that differ, in words.
    """

    task: Task
    problems: Sequence[Problem]
    score: Scorer
    tally: Tally = field(default_factory=Tally)
    first: list[str] = field(default_factory=list)

    def add(self, row: ImportedRow) -> None:
        """Compare a row; one without a verdict is passed over."""
        if row.correct is None:
            return
        score = self.score(self.problems[int(row.problem)], row.completion)
        self.tally.add(row.correct, score.correct)
        if row.correct != score.correct and len(self.first) < _SHOWN:
            answer = "no answer" if score.answer is None else f"answer {score.answer[:40]!r}"
            self.first.append(
                f"{row.place}, problem {row.problem}: file {_word(row.correct)}, task {_word(score.correct)} "
                f"({answer if score.failure is None else f'{answer}, {score.failure}'})"
            )

    def require(self, path: Path, rows: Iterable[ImportedRow]) -> None:
        """Stop an import whose verdicts differ.

        Args:
            path: the file.
            rows: its rows once more, to find the cause.

        Raises:
            DataError: more rows differ than may.
        """
        if self.tally.is_close:
            return
        count, differing, told = self.tally.rows, self.tally.differing, self.tally.told
        raise DataError(
            f"the verdicts of {path} and those of task {self.task.name} ({self.score.name}) differ on {differing:,} of "
            f"{count:,} rows ({100 * differing / count:.1f} %, and at most 1 % may), and on as many of the {told:,} "
            f"that either calls correct ({100 * differing / told:.0f} %, and at most 10 % may), so nothing was "
            f"imported: {'; '.join(self.first)}. Likely cause: {self._cause(rows)}. Otherwise store the file's "
            f"verdicts with --trust file, or the task's with --trust task"
        )

    def _cause(self, rows: Iterable[ImportedRow]) -> str:
        """What makes the verdicts agree: other indices or another scorer of the task; else what remains."""
        moved = {-1: Tally(), 1: Tally()}
        scored = {scorer: Tally() for scorer in self.task.scorers if scorer != self.score.name}
        has_right_problems = True
        for row in rows:
            if row.correct is None:
                continue
            index = int(row.problem)
            has_right_problems &= row.by_content or row.origin.data_digest is not None
            for shift, tally in moved.items():
                if not row.by_content and 0 <= index + shift < len(self.problems):
                    tally.add(row.correct, self._is_correct(index + shift, row, self.score.name))
            for scorer, tally in scored.items():
                tally.add(row.correct, self._is_correct(index, row, scorer))
        for shift, tally in moved.items():
            if tally.explains(self.tally.rows):
                return _off_by_one(shift, tally)
        for scorer, tally in scored.items():
            if tally.explains(self.tally.rows):
                return f"another scorer: {scorer} agrees on {tally.rows - tally.differing:,} of {tally.rows:,} rows"
        return "another scorer" if has_right_problems else "other data (see --data) or another scorer"

    def _is_correct(self, index: int, row: ImportedRow, scorer: str) -> bool:
        # What one fails on has been told by then, or is not what is stored.
        return Scorer(self.task, scorer, lambda message: None, None)(self.problems[index], row.completion).correct


def _off_by_one(shift: int, tally: Tally) -> str:
    direction, remedy = ("high, as if counted from 1", "subtract 1") if shift < 0 else ("low", "add 1")
    return (
        f"the file's indices are off by one: they are 1 too {direction}, and with {shift:+d} the verdicts agree on "
        f"{tally.rows - tally.differing:,} of {tally.rows:,} rows; {remedy} and import again"
    )


def _word(correct: bool) -> str:
    return "correct" if correct else "wrong"
