"""Chances of guessing in a database: extended, merged, salvaged, and refused when they have changed."""

import shutil
from pathlib import Path

import pytest

from esprobe.errors import StoreError
from esprobe.maintenance.salvage import salvage
from esprobe.records.guessing import Guess
from esprobe.store import RolloutStore, RolloutWriter
from esprobe.store.guessing import stored_guesses
from esprobe.store.guessing_writer import record_guess
from esprobe.store.merging import merge
from tests.store.material import fill, shell

DATA = Path(__file__).parent.parent / "data"
FIRST = Guess("mine", "d" * 64, "coin", "toss a coin", {0: 0.5, 1: None})
SECOND = Guess("mine", "d" * 64, "dice", "roll dice", {0: 0.75, 1: 0.25, 2: 1 / 3}, {0: 0.0, 1: 1.0})
BOTH = Guess("mine", "d" * 64, "coin", "toss a coin", {0: 0.5, 1: 0.25, 2: 1 / 3}, {1: 1.0})


def read(path: Path) -> list[Guess]:
    with RolloutStore.open(path) as store:
        return stored_guesses(store)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = fill(tmp_path / "e.db")
    with RolloutWriter.open(path) as writer:
        record_guess(writer, FIRST)
    return path


def test_more_problems_are_added_to_those_that_are_stored(filled: Path) -> None:
    with RolloutWriter.open(filled) as writer:
        record_guess(writer, SECOND)
        record_guess(writer, Guess("mine", "e" * 64, "coin", "toss a coin", {0: 1.0}))
    assert read(filled) == [BOTH, Guess("mine", "e" * 64, "coin", "toss a coin", {0: 1.0})]


def test_merging_unites_them(filled: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "other.db")
    with RolloutWriter.open(other) as writer:
        record_guess(writer, SECOND)
    merge([filled, other], tmp_path / "merged.db")
    assert read(tmp_path / "merged.db") == [BOTH]


def test_salvaging_keeps_them_and_the_digest_of_the_scorer(tmp_path: Path) -> None:
    old = Path(shutil.copy(DATA / "schema-m006.db", tmp_path / "old.db"))
    salvage(old, tmp_path / "new.db", "esprobe salvage")
    assert read(tmp_path / "new.db") == read(old) != []
    with RolloutStore.open(tmp_path / "new.db") as store:
        session = store.sessions()[0]
    assert (session.scorer_digest, session.task_file) == ("a-scorer-digest", "/data/my_task.py:load")


def test_changed_chances_are_refused(filled: Path) -> None:
    shell(filled, "UPDATE guessing SET chances = replace(chances, '0.5', '0.6')")
    with pytest.raises(StoreError, match=r"chances of guessing for task mine do not match their checksum"):
        read(filled)
