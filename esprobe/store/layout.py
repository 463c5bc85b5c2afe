"""How many bytes of a database a rollout takes, from SQLite's file format.

Owns the page size of new databases and the arithmetic of its pages (https://www.sqlite.org/fileformat2.html). Does not
know what a run draws.
"""

import random
from collections.abc import Sequence
from pathlib import Path

PAGE_BYTES = 32_768
"""Page size of new databases, in bytes; an existing one keeps its own. A row lies on one page where it fits: at 4,096
bytes one completion of 2 kB takes a whole page. See docs/store.md for measurements."""

_PAGE_HEADER = 8
_CELL_POINTER = 2
_ROWS = 4000
"""Rows that are laid out to average over pages."""

_TABLES = 23
"""Tables and indexes, each with a page at least, and the schema's page."""

_PROBLEM_ROW = 300
"""Bytes of a row of ``problem`` without inputs and prompt: two digests and names, and the digest again in its index."""

_ROLLOUT_ROW = 48
"""Bytes of a row of ``rollout`` with its cell pointer: a header of 13, the reward 8, finish reason 4 to 6, the key, ids
and counts 0 to 4 each, an answer or failure word of about 9; 258,000 rows of the real scorer took 47.3 to 48.0 each."""


def page_bytes(database: Path) -> int:
    """The page size of a database in bytes; of one that is yet to be made, that of new databases."""
    try:
        with open(database, "rb") as file:
            header = file.read(18)
    except OSError:
        return PAGE_BYTES
    if len(header) < 18:  # an empty file becomes a new database
        return PAGE_BYTES
    size = int.from_bytes(header[16:])
    return 65536 if size == 1 else size


def bytes_per_rollout(text_bytes: Sequence[int], page: int) -> float:
    """Mean bytes that a rollout adds to a database.

    Args:
        text_bytes: the length of each completion of a sample, in bytes; their order does not matter.
        page: the database's page size, in bytes.
    """
    # One after the other in random order, as a run writes them: how full pages are depends on how lengths vary.
    lengths = random.Random(0).choices(text_bytes, k=_ROWS)
    return _ROLLOUT_ROW + _table_bytes(lengths, page) / len(lengths)


def new_database_bytes(problem_texts: int, problems: int) -> int:
    """Bytes of a new database without rollouts.

    Args:
        problem_texts: bytes of all inputs and prompts.
        problems: number of problems.
    """
    return _TABLES * PAGE_BYTES + problem_texts + problems * _PROBLEM_ROW


def _table_bytes(lengths: Sequence[int], page: int) -> float:
    """Bytes of the pages of ``completion`` with texts of these lengths; the last page counts as far as it is filled."""
    room = page - _PAGE_HEADER
    pages, used = 0, 0
    for length in lengths:
        cell, overflow = _cell(length, page)
        pages += overflow
        if used + cell > room:
            pages, used = pages + 1, 0
        used += cell
    return (pages + used / room) * page


def _cell(text_bytes: int, page: int) -> tuple[int, int]:
    """Bytes on its page of a row of ``completion``, with its cell pointer, and its number of overflow pages."""
    header = 3 + _varint(2 * text_bytes + 13)  # its own size and the types of id, checksum and text
    payload = header + text_bytes + 5  # a CRC-32 takes 4 bytes or 6
    rowid = 3
    around = _varint(payload) + rowid + _CELL_POINTER
    most = page - 35
    if payload <= most:
        return payload + around, 0
    least = (page - 12) * 32 // 255 - 23
    kept = least + (payload - least) % (page - 4)
    kept = kept if kept <= most else least
    return kept + 4 + around, -(-(payload - kept) // (page - 4))


def _varint(value: int) -> int:
    """Bytes of SQLite's variable-length integer, 7 bits in each."""
    return max(1, -(-value.bit_length() // 7))
