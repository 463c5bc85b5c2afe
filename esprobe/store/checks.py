"""What can be found wrong with a database, one question at a time: each answers with what is off, in words.

Every question reads the whole table that it is about, so they take minutes on tens of millions of rollouts.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from esprobe.errors import StoreError
from esprobe.records import Extent, StoredCondition
from esprobe.spec import Prompt
from esprobe.store.database import scalar, scalars
from esprobe.store.reader import RolloutStore
from esprobe.store.sessions import session_column
from esprobe.store.status import segments
from esprobe.store.texts import checksum_column, written_problems

_MOST = 20
"""Findings of one kind that are spelled out; the rest is counted."""


def structure(store: RolloutStore) -> Iterator[str]:
    """Pages, indexes, types and constraints, as SQLite sees them."""
    with store.reading() as connection:
        for line in scalars(connection, f"PRAGMA integrity_check({_MOST})"):
            if line != "ok":
                yield str(line)


def references(store: RolloutStore) -> Iterator[str]:
    """Rows that name a row of another table which is not there."""
    with store.reading() as connection:
        rows = connection.execute(
            'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY "table", parent'
        )
        for table, parent, count in rows.fetchall():
            yield f"{count:,} rows of {table} name a {parent} that is not there"


def completions(store: RolloutStore) -> Iterator[str]:
    """Texts that no rollout names, or that several name."""
    with store.reading() as connection:
        orphans = "SELECT id FROM completion WHERE id NOT IN (SELECT completion_id FROM rollout)"
        yield from listed(f"completion {id_} belongs to no rollout" for (id_,) in connection.execute(orphans))
        shared = "SELECT completion_id, count(*) FROM rollout GROUP BY completion_id HAVING count(*) > 1"
        yield from listed(f"completion {id_} belongs to {n} rollouts" for id_, n in connection.execute(shared))


def texts(store: RolloutStore) -> Iterator[str]:
    """Texts that are not the ones that were written: their checksums differ."""
    query = "SELECT id, CAST(text AS BLOB), checksum FROM completion WHERE checksum IS NOT NULL"
    with store.reading() as connection:
        rows = connection.execute(query)
        yield from listed(f"the text of completion {i} has changed" for i, b, crc in rows if zlib.crc32(b) != crc)


def identities(store: RolloutStore) -> Iterator[str]:
    """Conditions and prompts whose digest is not that of their content."""
    query = "SELECT digest, kind, temperature, sigma FROM condition WHERE id = ?"
    for stored in store.conditions():
        with store.reading() as connection:
            row = connection.execute(query, (stored.id,)).fetchone()
        condition = stored.condition
        if row != (condition.digest, condition.kind, condition.temperature, condition.sigma):
            yield f"condition {stored.id} ({condition.label}) is not what its digest or its columns say"
    with store.reading() as connection:
        yield from listed(
            f"problem {row.problem_index} (id {row.id}): its prompt is not what its digest says"
            for row in written_problems(connection)
            if _prompt_digest(row.prompt) != row.prompt_digest
        )


def problems(store: RolloutStore) -> Iterator[str]:
    """Problems that are not the ones that were written: their checksums differ."""
    with store.reading() as connection:
        yield from listed(
            f"problem {row.problem_index} (id {row.id}) is not what its checksum says"
            for row in written_problems(connection)
            if row.has_changed
        )


def sums(store: RolloutStore) -> Iterator[str]:
    """Verdicts and token counts that do not add up to what was recorded when they were written."""
    for stored in store.conditions():
        try:
            store.correctness(stored.id)
        except StoreError as err:
            yield str(err)
        with store.reading() as connection:
            query = "SELECT coalesce(sum(token_count), 0) FROM rollout WHERE condition_id = ?"
            tokens = scalar(connection, query, (stored.id,))
        if tokens != (recorded := store.totals(stored.id).tokens):
            yield f"condition {stored.id} ({stored.condition.label}) holds {tokens:,} tokens of {recorded:,} written"


def holes(store: RolloutStore) -> Iterator[str]:
    """Rollouts that a session which ended as done was asked for, and that are not there.

    A session that was asked for a share of them answers for all once the other shares are there, done too.
    """
    for stored in store.conditions():
        yield from listed(_holes(store, stored))


def _holes(store: RolloutStore, stored: StoredCondition) -> Iterator[str]:
    matrix = store.correctness(stored.id)
    columns = {int(seed): column for column, seed in enumerate(matrix.seeds)}
    rows = {int(index): row for row, index in enumerate(matrix.problems)}
    for seeds, planned in segments(_finished(store, stored.id)):
        for seed in seeds:
            column = columns.get(seed)
            for index in sorted(planned):
                row = rows.get(index)
                if column is None or row is None or not matrix.stored[row, column]:
                    yield f"problem {index}, seed {seed} of {stored.condition.label} is not stored"


QUESTIONS: Mapping[str, Callable[[RolloutStore], Iterator[str]]] = {
    "structure": structure,
    "references": references,
    "completions": completions,
    "texts": texts,
    "identities": identities,
    "problems": problems,
    "sums": sums,
    "holes": holes,
}


def unanswerable(store: RolloutStore, question: str) -> str:
    """Why a file has no answer to a question: what it would be held against was not recorded; "" if it has one."""
    with store.reading() as connection:
        if question in ("texts", "sums") and checksum_column(connection) == "NULL":
            return f"{store.path} is from before checksums; merge it into a new file"
        if question == "problems":
            checksums = {row.checksum for row in written_problems(connection)}
            if checksums == {None}:
                return f"the problems of {store.path} are from before checksums"
    return ""


def _finished(store: RolloutStore, condition_id: int) -> list[Extent]:
    query = (
        "SELECT coalesce({shard}, '1/1'), first_index, stop_index, first_seed, samples, "
        "problems FROM work JOIN session ON session.id = session_id WHERE condition_id = ? AND outcome = 'done' "
        "ORDER BY session_id"
    )
    shares: dict[tuple[Extent, int], set[int]] = {}
    with store.reading() as connection:
        query = query.format(shard=session_column(connection, "shard"))
        for shard, *asked in connection.execute(query, (condition_id,)):
            number, _, count = shard.partition("/")
            shares.setdefault((Extent(*asked), int(count)), set()).add(int(number))
    return list(dict.fromkeys(extent for (extent, count), there in shares.items() if len(there) == count))


def _prompt_digest(written: str) -> str | None:
    try:
        parsed = json.loads(written)
        return Prompt(tuple((role, content) for role, content in parsed["messages"]), parsed["begun"]).digest
    except (ValueError, KeyError, TypeError):
        return None


def listed(found: Iterable[str]) -> Iterator[str]:
    """The first findings of a kind, and how many more there are; no more of them are ever in memory."""
    remaining = iter(found)
    yield from islice(remaining, _MOST)
    if more := sum(1 for _ in remaining):
        yield f"... and {more:,} more of that kind"
