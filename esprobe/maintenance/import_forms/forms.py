"""What a form of rollouts is: how its files are recognised, and what of them becomes a rollout's values."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from esprobe.errors import DataError, UsageError

Fields = Mapping[str, Any]


class Rollout(NamedTuple):
    """A rollout as a file has it, unchecked.

    Attributes:
        place: where it stands in the file, such as "line 3".
        fields: its values under esprobe's own keys: problem, completion, correct, reward, answer, seed, ...
        columns: what the file says of its problem, by which a task's data are searched.
    """

    place: str
    fields: Fields
    columns: Fields


class Failed(NamedTuple):
    """A request that got no completion, so that there is nothing to store."""

    place: str


Found = Iterator[Rollout | Failed]


@dataclass(frozen=True)
class Plan:
    """How one file is read.

    Attributes:
        mapping: what becomes what, for people.
        rollouts: begins to read the file once more.
        no_verdict: why the file has no verdict on a completion; None if it should have one.
    """

    mapping: str
    rollouts: Callable[[], Found]
    no_verdict: str | None = None


@dataclass(frozen=True)
class Form:
    """A form of files.

    Attributes:
        name: for people.
        looked_for: the keys by which its first record is recognised, in words.
        matches: whether a first record is of this form.
        plan: decides how a file is read, from its path and ``--score``; raises DataError or UsageError.
        takes_score: whether ``--score`` chooses among its verdicts.
    """

    name: str
    looked_for: str
    matches: Callable[[Fields], bool]
    plan: Callable[[Path, str | None], Plan]
    takes_score: bool = False

    def read(self, path: Path, score: str | None) -> "Reading":
        """A file of this form.

        Raises:
            DataError: it cannot be read.
            UsageError: ``score`` names nothing in it.
        """
        if score is not None and not self.takes_score:
            raise UsageError(
                f"--score {score} chooses among several verdicts, and {path}, read as {self.name}, has at most one; "
                f"leave out --score"
            )
        return Reading(path, self.name, self.plan(path, score))


@dataclass
class Reading:
    """A file and how it is read; each loop over it reads the file once more.

    Attributes:
        failed: requests without a completion that the latest loop came by.
    """

    path: Path
    form: str
    plan: Plan
    failed: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[Rollout]:
        self.failed = 0
        for found in self.plan.rollouts():
            if isinstance(found, Failed):
                self.failed += 1
            else:
                yield found


def wrong(path: Path, place: str, what: str) -> DataError:
    """The error for a place of a file, of which ``what`` says what is wrong."""
    return DataError(f"{place} of {path} {what}, so nothing was imported; correct it and run the command again")


def choose(path: Path, named: list[str], score: str | None, what: str) -> str | None:
    """The verdict that is meant.

    Args:
        path: the file.
        named: its verdicts; empty if it has none.
        score: the value of ``--score``.
        what: what they are, as a plural.

    Raises:
        UsageError: there are several and none is chosen, or the chosen one is not there.
    """
    choices = ", ".join(name[:60] for name in named[:8]) + (", ..." if len(named) > 8 else "")
    if score is not None:
        if score not in named:
            raise UsageError(
                f"--score {score} names nothing in {path}; its {what} are: {choices}"
                if named
                else f"--score {score} chooses among {what}, and {path} has none; leave out --score"
            )
        return score
    if len(named) > 1:
        raise UsageError(
            f"{path} has several {what} ({choices}), and a rollout has one verdict; choose with "
            f"--score {shlex.quote(named[0][:60])}"
        )
    return named[0] if named else None
