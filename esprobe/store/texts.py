"""Comparing completion texts and problems with the checksums stored when they were written, to detect a damaged file.

Migration m002 added checksums of completions, and m003 of problems. Rows from before have no checksum and are not
checked.
"""

import json
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import NamedTuple

from esprobe.errors import StoreError
from esprobe.store.database import damaged, scalars

PROBLEM = "task, task_digest, problem_index, problem_group, inputs, prompt, prompt_digest"
"""The columns that a problem's checksum covers: all except the checksum and the id, which differs between files."""


class WrittenProblem(NamedTuple):
    """A row of the table problem, its JSON not parsed."""

    id: int
    task: str
    task_digest: str
    problem_index: int
    problem_group: str
    inputs: str
    prompt: str
    prompt_digest: str
    checksum: int | None

    @property
    def has_changed(self) -> bool:
        """Whether the row has changed since it was written; False if it has no checksum."""
        return self.checksum is not None and self.checksum != problem_checksum(self[1:-1])


def checksum_column(connection: Connection, table: str = "completion") -> str:
    """The SQL expression for a row's checksum; NULL in an older file without that column."""
    names = scalars(connection, f"SELECT name FROM pragma_table_info('{table}')")
    return f"{table}.checksum" if "checksum" in names else "NULL"


def has_changed(text: str, checksum: int | None) -> bool:
    """Whether a text has changed since it was written; False if it has no checksum."""
    return checksum is not None and checksum != zlib.crc32(text.encode())


def problem_checksum(values: Sequence[object]) -> int:
    """The checksum of a problem, from its columns in the order of ``PROBLEM``.

    A JSON list, because concatenated columns would be ambiguous: group "3" and inputs "4", or group "34" and no inputs.
    """
    return zlib.crc32(json.dumps(values).encode())


def written_problems(connection: Connection) -> Iterator[WrittenProblem]:
    """Every problem of the file, sorted by id, without checking it."""
    query = f"SELECT id, {PROBLEM}, {checksum_column(connection, 'problem')} FROM problem ORDER BY id"
    return (WrittenProblem(*row) for row in connection.execute(query))


def sound_problems(connection: Connection, path: Path, ids: Collection[int] | None = None) -> list[WrittenProblem]:
    """The existing problems with these ids (None: all), sorted by id.

    Raises:
        StoreError: a problem has changed since it was written: the file is damaged.
    """
    rows = [row for row in written_problems(connection) if ids is None or row.id in ids]
    for row in rows:
        if row.has_changed:
            raise StoreError(damaged(path, f"problem {row.problem_index} (id {row.id}) does not match its checksum"))
    return rows


def check_texts(connection: Connection, path: Path) -> int:
    """Compare every completion with its checksum; how many there are.

    Raises:
        StoreError: one has changed since it was written: the file is damaged.
    """
    query = f"SELECT id, text, {checksum_column(connection)} FROM completion ORDER BY id"
    count = 0
    for id_, text, checksum in connection.execute(query):
        if has_changed(text, checksum):
            raise StoreError(damaged(path, f"the completion with id {id_} has changed since it was written"))
        count += 1
    return count
