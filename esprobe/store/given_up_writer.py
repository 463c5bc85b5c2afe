"""Writing which seeds are given up, and which are owed again."""

from collections.abc import Collection, Iterable, Mapping

from esprobe.records.given_up import GivenUp
from esprobe.store.given_up import COLUMNS, checksum_of, columns_of, given_up, stored_under
from esprobe.store.reader import RolloutStore
from esprobe.store.writer import RolloutWriter

EVERY_PROBLEM = 2**62
"""A stop index past every problem."""


def give_up(store: RolloutWriter, condition_id: int, mark: GivenUp) -> None:
    """Mark seeds of a condition; what an older mark says of them is replaced."""
    marks = given_up(store, condition_id)
    rest = [part for old in marks for part in old.without(mark.first_index, mark.stop_index, mark.seeds)]
    _replace(store, condition_id, marks, [*rest, mark])


def owe_again(
    store: RolloutWriter, condition_id: int, first_index: int, stop_index: int, seeds: Collection[int]
) -> None:
    """Remove the marks of a rectangle of problems x seeds; nothing is written where there are none.

    Sessions that ended as done and planned these seeds count as stopped from now on: they lack rollouts again.
    """
    marks = given_up(store, condition_id)
    rest = [part for old in marks for part in old.without(first_index, stop_index, seeds)]
    with store.snapshot():
        if _replace(store, condition_id, marks, rest):
            _reopen(store, condition_id, seeds)


def copy_marks(source: RolloutStore, target: RolloutWriter, conditions: Mapping[int, int]) -> list[tuple[int, GivenUp]]:
    """Unite the marks of ``source`` with those of ``target``; to be called before rollouts are copied.

    A seed of which either file has rollouts and no mark is given up no more: it was drawn there, or is being drawn.

    Args:
        source: the file that is merged.
        target: the file that it is merged into.
        conditions: ids in the target by ids in the source.

    Returns:
        What is given up no more, with its condition in the target, for ``reopen_incomplete``.
    """
    dropped = []
    for theirs, ours in conditions.items():
        new, old = given_up(source, theirs), given_up(target, ours)
        if not new and not old:
            continue
        drawn = _drawn(source, theirs, new) | _drawn(target, ours, old)
        marks = list(old)
        for known in old:
            new = [part for one in new for part in one.without(known.first_index, known.stop_index, known.seeds)]
        marks += new
        _replace(target, ours, old, [part for one in marks for part in one.without(0, EVERY_PROBLEM, drawn)])
        dropped += [(ours, mark._replace(seeds=mark.seeds & drawn)) for mark in marks if mark.seeds & drawn]
    return dropped


def reopen_incomplete(store: RolloutWriter, dropped: Iterable[tuple[int, GivenUp]]) -> None:
    """After a merge: where seeds that are given up no more lack rollouts, no session that planned them is done."""
    for condition_id, mark in dropped:
        if stored_under(store, condition_id, mark) < len(mark.seeds) * (mark.stop_index - mark.first_index):
            _reopen(store, condition_id, mark.seeds)


def _reopen(store: RolloutWriter, condition_id: int, seeds: Collection[int]) -> None:
    with store.reading() as connection:
        connection.execute(
            "UPDATE session SET outcome = 'stopped' WHERE outcome = 'done' AND id IN (SELECT session_id FROM work "
            "WHERE condition_id = ? AND first_seed <= ? AND first_seed + samples > ?)",
            (condition_id, max(seeds), min(seeds)),
        )


def _drawn(store: RolloutStore, condition_id: int, marks: Collection[GivenUp]) -> set[int]:
    """Seeds with rollouts and without a mark."""
    with store.reading() as connection:
        query = "SELECT DISTINCT seed FROM rollout WHERE condition_id = ?"
        found = {seed for (seed,) in connection.execute(query, (condition_id,))}
    return found.difference(*(mark.seeds for mark in marks))


def _replace(store: RolloutWriter, condition_id: int, before: Collection[GivenUp], after: Collection[GivenUp]) -> bool:
    """Store other marks in place of those; returns whether they differ."""
    if set(before) == set(after):
        return False
    rows = [columns_of(condition_id, mark) for mark in after]
    with store.reading() as connection:
        connection.execute("DELETE FROM given_up WHERE condition_id = ?", (condition_id,))
        connection.executemany(
            f"INSERT INTO given_up ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(*row, checksum_of(row)) for row in rows],
        )
    return True
