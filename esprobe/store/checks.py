"""The integrity checks of a database: each yields one sentence for each defect.

Every check scans a whole table, so they take minutes on tens of millions of rollouts.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from esprobe.errors import StoreError
from esprobe.records import Extent, StoredCondition
from esprobe.spec import Prompt
from esprobe.store.database import scalar, scalars
from esprobe.store.given_up import given_up, without_marks
from esprobe.store.reader import RolloutStore
from esprobe.store.sessions import session_column
from esprobe.store.status import segments
from esprobe.store.texts import checksum_column, written_problems

_MOST = 20
"""Most findings of one kind that are listed; the others are only counted."""


def structure(store: RolloutStore) -> Iterator[str]:
    """Pages, indexes, types and constraints, as SQLite's own integrity check reports them."""
    with store.reading() as connection:
        for line in scalars(connection, f"PRAGMA integrity_check({_MOST})"):
            if line != "ok":
                yield str(line)


def references(store: RolloutStore) -> Iterator[str]:
    """Foreign keys that refer to a row that does not exist."""
    with store.reading() as connection:
        rows = connection.execute(
            'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY "table", parent'
        )
        for table, parent, count in rows.fetchall():
            yield f"{count:,} rows of {table} refer to a {parent} that does not exist"


def completions(store: RolloutStore) -> Iterator[str]:
    """Completion texts that no rollout refers to, or that several refer to."""
    with store.reading() as connection:
        orphans = "SELECT id FROM completion WHERE id NOT IN (SELECT completion_id FROM rollout)"
        yield from listed(f"completion {id_} belongs to no rollout" for (id_,) in connection.execute(orphans))
        shared = "SELECT completion_id, count(*) FROM rollout GROUP BY completion_id HAVING count(*) > 1"
        yield from listed(f"completion {id_} belongs to {n} rollouts" for id_, n in connection.execute(shared))


def texts(store: RolloutStore) -> Iterator[str]:
    """Completion texts that have changed since they were written: their checksums differ."""
    query = "SELECT id, CAST(text AS BLOB), checksum FROM completion WHERE checksum IS NOT NULL"
    with store.reading() as connection:
        rows = connection.execute(query)
        yield from listed(f"the text of completion {i} has changed" for i, b, crc in rows if zlib.crc32(b) != crc)


def identities(store: RolloutStore) -> Iterator[str]:
    """Conditions and prompts whose stored digest differs from the digest of their content."""
    query = "SELECT digest, kind, temperature, sigma FROM condition WHERE id = ?"
    for stored in store.conditions():
        with store.reading() as connection:
            row = connection.execute(query, (stored.id,)).fetchone()
        condition = stored.condition
        if row != (condition.digest, condition.kind, condition.temperature, condition.sigma):
            yield f"condition {stored.id} ({condition.label}) does not match its digest or its columns"
    with store.reading() as connection:
        yield from listed(
            f"problem {row.problem_index} (id {row.id}): its prompt does not match its digest"
            for row in written_problems(connection)
            if _prompt_digest(row.prompt) != row.prompt_digest
        )


def problems(store: RolloutStore) -> Iterator[str]:
    """Problems that have changed since they were written: their checksums differ."""
    with store.reading() as connection:
        yield from listed(
            f"problem {row.problem_index} (id {row.id}) does not match its checksum"
            for row in written_problems(connection)
            if row.has_changed
        )


def sums(store: RolloutStore) -> Iterator[str]:
    """Verdicts and token counts that disagree with the totals recorded when they were written."""
    for stored in store.conditions():
        try:
            store.correctness(stored.id)
        except StoreError as err:
            yield str(err)
        with store.reading() as connection:
            query = "SELECT coalesce(sum(token_count), 0) FROM rollout WHERE condition_id = ?"
            tokens = scalar(connection, query, (stored.id,))
        if tokens != (recorded := store.totals(stored.id).tokens):
            yield (
                f"condition {stored.id} ({stored.condition.label}) holds {tokens:,} tokens, but {recorded:,} were "
                f"recorded when they were written"
            )


def holes(store: RolloutStore) -> Iterator[str]:
    """Rollouts that are missing although a session with the outcome "done" planned them.

    Seeds that were given up are not missing. The plan of sharded sessions counts only if every shard of it has a
    session with the outcome "done".
    """
    for stored in store.conditions():
        if stored.condition.kind.is_listed:  # the plan of a training run is its recipe, checked with its updates
            yield from listed(_holes(store, stored))


def _holes(store: RolloutStore, stored: StoredCondition) -> Iterator[str]:
    matrix = store.correctness(stored.id)
    columns = {int(seed): column for column, seed in enumerate(matrix.seeds)}
    rows = {int(index): row for row, index in enumerate(matrix.problems)}
    for seeds, planned in without_marks(segments(_finished(store, stored.id)), given_up(store, stored.id)):
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
    """Why a check is impossible on this file: no checksums were recorded to compare with; "" if it is possible."""
    with store.reading() as connection:
        if question in ("texts", "sums") and checksum_column(connection) == "NULL":
            return (
                f"{store.path} was written before esprobe stored checksums; to add them, copy it with: esprobe merge "
                f"{store.path} --into NEW.db"
            )
        if question == "problems":
            checksums = {row.checksum for row in written_problems(connection)}
            if checksums == {None}:
                return f"the problems of {store.path} were written before esprobe stored checksums of problems"
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
        for shard, *extent in connection.execute(query, (condition_id,)):
            number, _, count = shard.partition("/")
            shares.setdefault((Extent(*extent), int(count)), set()).add(int(number))
    return list(dict.fromkeys(extent for (extent, count), numbers in shares.items() if len(numbers) == count))


def _prompt_digest(written: str) -> str | None:
    try:
        parsed = json.loads(written)
        return Prompt(tuple((role, content) for role, content in parsed["messages"]), parsed["begun"]).digest
    except (ValueError, KeyError, TypeError):
        return None


def listed(findings: Iterable[str]) -> Iterator[str]:
    """The first findings of a kind, then a line with the number of the others, which are never held in memory."""
    remaining = iter(findings)
    yield from islice(remaining, _MOST)
    if more := sum(1 for _ in remaining):
        yield f"... and {more:,} more of that kind"
