"""Writing chances of guessing: more problems are added to those that are stored."""

from dataclasses import replace

from esprobe.records.guessing import Guess
from esprobe.store.guessing import COLUMNS, checksum_of, columns_of, stored_guesses
from esprobe.store.reader import RolloutStore
from esprobe.store.writer import RolloutWriter


def record_guess(store: RolloutWriter, guess: Guess) -> None:
    """Store the chances of more problems of a data set. Those that are stored stay, unless they were not known."""
    known = next((g for g in stored_guesses(store) if (g.task, g.data_digest) == (guess.task, guess.data_digest)), None)
    chances, first = dict(guess.chances), dict(guess.first)
    if known is not None:
        stay = {index: chance for index, chance in known.chances.items() if chance is not None}
        first = {index: chance for index, chance in first.items() if index not in stay} | dict(known.first)
        chances |= stay
        guess = known
    values = columns_of(replace(guess, chances=dict(sorted(chances.items())), first=first))
    with store.reading() as connection:
        connection.execute(
            f"INSERT INTO guessing ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (task, data_digest) "
            "DO UPDATE SET chances = excluded.chances, checksum = excluded.checksum",
            (*values, checksum_of(values)),
        )


def copy_guesses(source: RolloutStore, target: RolloutWriter) -> None:
    """Add the chances that ``source`` has to those of ``target``."""
    for guess in stored_guesses(source):
        record_guess(target, guess)
