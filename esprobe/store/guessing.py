"""Reading chances of guessing: stored when problems are sampled, so that a report does not need their task."""

import json
import zlib
from collections.abc import Sequence
from typing import Any

from esprobe.errors import StoreError
from esprobe.records.guessing import Guess
from esprobe.store.database import damaged
from esprobe.store.reader import RolloutStore

_MIGRATION = "m006_tasks"

COLUMNS = "task, data_digest, label, definition, chances, checksum"
"""The columns of a row but its id."""


def stored_guesses(store: RolloutStore) -> list[Guess]:
    """The chances of guessing, one entry for each data set; none in a file of an older esprobe.

    Raises:
        StoreError: one has changed since it was written: the file is damaged.
    """
    found = []
    for row in store.rows_since(_MIGRATION, f"SELECT {COLUMNS} FROM guessing ORDER BY id"):
        guess = whole_guess(row)
        if guess is None:
            what = f"the chances of guessing for task {row[0]} do not match their checksum"
            raise StoreError(damaged(store.path, what))
        found.append(guess)
    return found


def whole_guess(columns: Sequence[Any]) -> Guess | None:
    """The chances from the columns of a row without its id; None if they do not match its checksum."""
    *values, checksum = columns
    if not all(isinstance(value, str) for value in values) or checksum_of(values) != checksum:
        return None
    task, data_digest, label, definition, chances = values
    by_index = {int(index): chance for index, chance in json.loads(chances).items()}
    pairs = {index: chance for index, chance in by_index.items() if isinstance(chance, list)}
    later = {index: chance for index, (_, chance) in pairs.items()}
    first = {index: chance for index, (chance, _) in pairs.items()}
    return Guess(task, data_digest, label, definition, by_index | later, first)


def columns_of(guess: Guess) -> tuple[str, ...]:
    """The columns of its row without id and checksum; a chance is [first guess, later ones] where they differ."""
    by_index = {
        str(index): [guess.first[index], chance] if index in guess.first else chance
        for index, chance in guess.chances.items()
    }
    chances = json.dumps(by_index, separators=(",", ":"))
    return (guess.task, guess.data_digest, guess.label, guess.definition, chances)


def checksum_of(values: Sequence[Any]) -> int:
    """The checksum of a row, from ``columns_of``."""
    return zlib.crc32(json.dumps(list(values)).encode())
