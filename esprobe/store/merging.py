"""Merging several databases into one. Conditions and problems are matched by digest, not by their ids in a file.

If two databases hold the same rollout with equal content, it is copied once; if the content differs, the merge fails
before anything is written. So inputs may overlap, and merging again changes nothing. Inputs are only read.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from esprobe.errors import DatabaseLostError, RolloutConflictError, StoreError, UsageError
from esprobe.paths import kind_of
from esprobe.records import StoredCondition
from esprobe.store.database import Mode, damaged, scalar, scalars, translated
from esprobe.store.given_up_writer import copy_marks, reopen_incomplete
from esprobe.store.guessing_writer import copy_guesses
from esprobe.store.model_names_writer import copy_model_names
from esprobe.store.reader import RolloutStore
from esprobe.store.sessions import ADDED, session_column
from esprobe.store.texts import PROBLEM, checksum_column, has_changed, sound_problems
from esprobe.store.training_writer import copy_runs
from esprobe.store.writer import RolloutWriter

BATCH = 4096
"""Rollouts committed together."""

_CONTENT = "reward, correct, answer, failure, token_count, finish_reason, text"
_UNDER_SEED = (
    f"SELECT task_digest, problem_index, {_CONTENT}, session_id, problem_id, {{checksum}} FROM rollout "
    "JOIN problem ON problem.id = problem_id JOIN completion ON completion.id = completion_id "
    "WHERE condition_id = ? AND seed = ? ORDER BY problem_id"
)
_SESSION = (
    "command, scorer.name, started_utc, updated_utc, ended_utc, outcome, host, pid, rollouts, tokens, engine, "
    "versions, hardware, shard, rescored, scorer_digest, task_file"
)
_WORK = (
    "session_id, condition_id, first_index, stop_index, problems, first_seed, samples, rollouts, tokens, generate_s, "
    "switch_s"
)
_REFERENCES = (
    ("work", "session"), ("work", "condition"), ("session", "scorer"),
    ("rollout", "session"), ("rollout", "condition"), ("rollout", "problem"),
)  # fmt: skip
"""(table, table that its rows refer to): the foreign keys whose ids are replaced when rows are copied."""

Content = tuple[Any, ...]


class Input(RolloutStore):
    """A database that is read without changing a byte of it."""

    _mode: Mode = "untouched"


@dataclass(frozen=True)
class Merged:
    """Counts for one input: rollouts that were copied, and those that the target already had (``known``)."""

    path: Path
    copied: int
    known: int


def merge(inputs: Sequence[Path], into: Path) -> list[Merged]:
    """Copy everything that ``inputs`` have and ``into`` lacks; creates ``into`` if it does not exist.

    Raises:
        RolloutConflictError: two files hold the same rollout with different content; nothing was written.
        StoreError: a file cannot be read or written, or an input is damaged. An ``into`` that this call created is
            removed; in one that existed, the rollouts copied so far stay, and merging again resumes.
        UsageError: an input is the output.
    """
    if any(path.resolve() == into.resolve() for path in inputs):
        raise UsageError(f"--into {into} is one of the inputs, which stay as they are; name another file")
    for path in inputs:
        if kind_of(path) == "nothing":
            raise StoreError(
                f"there is no database at {path}, so nothing can be merged from it; check the name and the folder of "
                f"that input"
            )
    with ExitStack() as stack:
        sources = [stack.enter_context(Input.open(path)) for path in inputs]
        for source in sources:
            stack.enter_context(source.snapshot())
            _refuse_damaged(source)
        existing = stack.enter_context(RolloutWriter.open(into)) if kind_of(into) != "nothing" else None
        stores = [*sources, *([existing] if existing is not None else [])]
        for number, one in enumerate(stores):
            for other in stores[:number]:
                _refuse_conflicts(other, one)
        target = existing or stack.enter_context(_new(into))
        return [_copy(source, target) for source in sources]


@contextmanager
def _new(into: Path) -> Iterator[RolloutWriter]:
    """Create the target, and remove it again if the merge fails."""
    target = RolloutWriter.open(into)
    try:
        yield target
    except DatabaseLostError:
        raise  # what is at the path now is not the target
    except BaseException:
        target.close()
        for part in ("", "-wal", "-shm"):
            into.with_name(into.name + part).unlink(missing_ok=True)
        raise
    target.close()


def _refuse_damaged(source: RolloutStore) -> None:
    for table, parent in _REFERENCES:
        with source.reading() as connection:
            query = f"SELECT count(*) FROM {table} WHERE {parent}_id NOT IN (SELECT id FROM {parent})"
            if lost := scalar(connection, query):
                raise StoreError(
                    damaged(source.path, f"{lost:,} rows of {table} refer to a {parent} that does not exist")
                )
    for stored in source.conditions():
        source.correctness(stored.id)  # raises


def _refuse_conflicts(one: RolloutStore, other: RolloutStore) -> None:
    theirs = {stored.condition.digest: stored for stored in other.conditions()}
    for mine in one.conditions():
        match = theirs.get(mine.condition.digest)
        if match is None:
            continue
        shared = sorted(set(_seeds(one, mine.id)) & set(_seeds(other, match.id)))
        for seed in shared:
            left, right = _contents(one, mine.id, seed), _contents(other, match.id, seed)
            for key in left.keys() & right.keys():
                if left[key] != right[key]:
                    parts = zip(_CONTENT.split(", "), left[key], right[key], strict=True)
                    differing = ", ".join("completion" if name == "text" else name for name, a, b in parts if a != b)
                    raise RolloutConflictError(
                        f"problem {key[1]}, seed {seed} of {mine.condition.label} is in {one.path} and in {other.path} "
                        f"with another {differing}, and a database can hold only one of them; nothing was merged. If "
                        f"only verdicts differ, score both files with the same scorer first: esprobe rescore --db FILE "
                        f"--scorer NAME --write"
                    )


def _under_seed(connection: Connection) -> str:
    return _UNDER_SEED.format(checksum=checksum_column(connection))


def _contents(store: RolloutStore, condition_id: int, seed: int) -> dict[tuple[str, int], Content]:
    with store.reading() as connection:
        rows = connection.execute(_under_seed(connection), (condition_id, seed))
        return {(row[0], row[1]): tuple(row[2:9]) for row in rows}


def _seeds(store: RolloutStore, condition_id: int) -> list[int]:
    with store.reading() as connection:
        query = "SELECT seed FROM rollout WHERE condition_id = ? GROUP BY seed"
        return scalars(connection, query, (condition_id,))


def _copy(source: RolloutStore, target: RolloutWriter) -> Merged:
    conditions = {stored.id: target.register_condition(stored.condition) for stored in source.conditions()}
    with source.reading() as read, translated(target.path):
        with target.reading() as write:
            sound_problems(write, target.path)  # copied rollouts refer to these, too
            problems = _copy_problems(source, read, write)
            sessions = _copy_sessions(read, write, conditions)
        owed_again = copy_marks(source, target, conditions)
        copied = known = 0
        for stored in source.conditions():
            before = copied + known
            for batch in _batches(source, stored):
                with target.reading() as write:
                    new = _insert(source, write, conditions[stored.id], batch, problems, sessions)
                copied += new
                known += len(batch) - new
            lost = source.totals(stored.id).rollouts - (copied + known - before)
            if lost:
                raise StoreError(
                    damaged(source.path, f"{lost:,} rollouts of condition {stored.id} have no completion text")
                )
    reopen_incomplete(target, owed_again)
    copy_runs(source, target)
    copy_guesses(source, target)
    copy_model_names(source, target)
    return Merged(source.path, copied, known)


def _batches(source: RolloutStore, stored: StoredCondition) -> Iterator[list[tuple[int, Any]]]:
    """(seed, row) of a condition in key order, in batches of a few thousand."""
    batch: list[tuple[int, Any]] = []
    with source.reading() as connection:
        query = _under_seed(connection)
        for seed in _seeds(source, stored.id):
            batch += [(seed, row) for row in connection.execute(query, (stored.id, seed))]
            if len(batch) >= BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _insert(
    source: RolloutStore,
    write: Connection,
    condition_id: int,
    batch: list[tuple[int, Any]],
    problems: Mapping[int, int],
    sessions: Mapping[int, int],
) -> int:
    existing: dict[int, set[int]] = {}
    for seed in {seed for seed, _ in batch}:
        query = "SELECT problem_id FROM rollout WHERE condition_id = ? AND seed = ?"
        existing[seed] = set(scalars(write, query, (condition_id, seed)))
    id_: int = scalar(write, "SELECT coalesce(max(id), 0) FROM completion")
    texts, rows = [], []
    for seed, row in batch:
        *content, text, session_id, problem_id, checksum = row[2:]
        if problems[problem_id] in existing[seed]:
            continue
        if has_changed(text, checksum):
            reason = f"the text of problem {row[1]}, seed {seed} of condition {condition_id} has changed"
            raise StoreError(damaged(source.path, reason))
        id_ += 1
        texts.append((id_, text, zlib.crc32(text.encode())))
        rows.append((condition_id, seed, problems[problem_id], *content, sessions[session_id], id_))
    if rows:
        write.executemany("INSERT INTO completion VALUES (?, ?, ?)", texts)
        write.executemany(f"INSERT INTO rollout VALUES ({', '.join('?' * 11)})", rows)
    return len(rows)


def _copy_problems(source: RolloutStore, read: Connection, write: Connection) -> dict[int, int]:
    """Map problem ids of the source to ids of the target. A problem keeps its checksum, or the absence of one.

    Raises:
        RolloutConflictError: source and target hold the same problem with different prompts.
        StoreError: a problem has changed since it was written: the source is damaged.
    """
    find = "SELECT id, prompt_digest FROM problem WHERE task_digest = ? AND problem_index = ?"
    ids = {}
    for row in sound_problems(read, source.path):
        key = (row.task_digest, row.problem_index)
        match = write.execute(find, key).fetchone()
        if match is None:
            values = ", ".join("?" * len(row[1:]))
            write.execute(f"INSERT INTO problem ({PROBLEM}, checksum) VALUES ({values})", row[1:])
            match = write.execute(find, key).fetchone()
        id_, prompt_digest = match
        if prompt_digest != row.prompt_digest:
            raise RolloutConflictError(
                f"problem {row.problem_index} of task {row.task} has one prompt in {source.path} and another in the "
                f"target, so their rollouts do not belong to the same problem; merge {source.path} into another file"
            )
        ids[row.id] = id_
    return ids


def _copy_sessions(read: Connection, write: Connection, conditions: Mapping[int, int]) -> dict[int, int]:
    """Map session ids of the source to ids of the target. Start, process and command identify a session.

    A session that the target already has may have more rollouts in the source; its counters are then updated.
    """
    find = "SELECT id FROM session WHERE started_utc = ? AND host = ? AND pid = ? AND command = ?"
    ids: dict[int, int] = {}
    split = {name: session_column(read, name) for name in ADDED}
    read_columns = ", ".join(split.get(name, name) for name in _SESSION.split(", "))
    query = f"SELECT session.id, {read_columns} FROM session JOIN scorer ON scorer.id = scorer_id ORDER BY session.id"
    taken: set[int] = set()
    for id_, command, scorer, started, updated, ended, outcome, host, pid, *rest in read.execute(query):
        write.execute("INSERT INTO scorer (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (scorer,))
        scorer_id = scalar(write, "SELECT id FROM scorer WHERE name = ?", (scorer,))
        values = (command, scorer_id, started, updated, ended, outcome, host, pid, *rest)
        matches = [i for i in scalars(write, find, (started, host, pid, command)) if i not in taken]
        columns = _SESSION.replace("scorer.name", "scorer_id")
        if matches:
            later = "UPDATE session SET updated_utc = ?, ended_utc = ?, outcome = ?, rollouts = ?, tokens = ? "
            grown = (updated, ended, outcome, rest[0], rest[1], matches[0], rest[0])
            write.execute(later + "WHERE id = ? AND rollouts <= ?", grown)
            ids[id_] = matches[0]
        else:
            added = f"INSERT INTO session ({columns}) VALUES ({', '.join('?' * 17)}) RETURNING id"
            ids[id_] = scalar(write, added, values)
        taken.add(ids[id_])
    for session_id, condition_id, *work in read.execute(f"SELECT {_WORK} FROM work"):
        write.execute(
            f"INSERT INTO work ({_WORK}) VALUES ({', '.join('?' * 11)}) ON CONFLICT (session_id, condition_id) "
            "DO UPDATE SET rollouts = excluded.rollouts, tokens = excluded.tokens, generate_s = excluded.generate_s, "
            "switch_s = excluded.switch_s WHERE excluded.rollouts >= rollouts",
            (ids[session_id], conditions[condition_id], *work),
        )
    return ids
