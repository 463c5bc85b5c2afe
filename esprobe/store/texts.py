"""Texts and problems held against the checksums with which they were written; damage beneath SQL keeps none.

Migration m002 gave completions a checksum and m003 problems. What an older file holds has none, and is not held against
anything.
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
"""What a problem's checksum is of: every other column but its id, which is another one in another file."""


class WrittenProblem(NamedTuple):
    """A row of the table problem as it lies in the file, its JSON not parsed."""

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
        """Whether the row is not the one that was written, as far as that was recorded."""
        return self.checksum is not None and self.checksum != problem_checksum(self[1:-1])


def checksum_column(connection: Connection, table: str = "completion") -> str:
    """The SQL of a row's checksum; NULL in a file that no migration has given one yet."""
    names = scalars(connection, f"SELECT name FROM pragma_table_info('{table}')")
    return f"{table}.checksum" if "checksum" in names else "NULL"


def has_changed(text: str, checksum: int | None) -> bool:
    """Whether a text is not the one that was written, as far as that was recorded."""
    return checksum is not None and checksum != zlib.crc32(text.encode())


def problem_checksum(values: Sequence[object]) -> int:
    """The checksum of a problem, from its columns in the order of ``PROBLEM``.

    A JSON list, because end to end the columns could be confused: group "3" and inputs "4" with group "34" and none.
    """
    return zlib.crc32(json.dumps(values).encode())


def written_problems(connection: Connection) -> Iterator[WrittenProblem]:
    """Every problem of the file, by id, whatever has become of it."""
    query = f"SELECT id, {PROBLEM}, {checksum_column(connection, 'problem')} FROM problem ORDER BY id"
    return (WrittenProblem(*row) for row in connection.execute(query))


def sound_problems(connection: Connection, path: Path, ids: Collection[int] | None = None) -> list[WrittenProblem]:
    """The problems of these ids that are there, by id; of all ids if none are named.

    Raises:
        StoreError: one of them is not the one that was written: the file is damaged.
    """
    found = [row for row in written_problems(connection) if ids is None or row.id in ids]
    for row in found:
        if row.has_changed:
            raise StoreError(damaged(path, f"problem {row.problem_index} (id {row.id}) is not what its checksum says"))
    return found
