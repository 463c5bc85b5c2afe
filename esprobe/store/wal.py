"""Reads SQLite's write-ahead log as a file: its committed pages, and whether it can be the log of a database.

Follows SQLite's file format (sqlite.org/fileformat2.html). SQLite itself replays any log that lies beside a database,
also one that was left there by another file of that name.
"""

import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HEADER, _FRAME_HEADER = 32, 24
_MAGIC = {0x377F0682: "<u4", 0x377F0683: ">u4"}  # the byte order in which checksums are computed
_DATABASE_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class Log:
    """The committed content of a write-ahead log.

    Attributes:
        page_size: bytes of a page.
        pages: pages that the database has after the last commit; 0 if nothing was committed.
        frames: page number -> position of its last committed version in the log.
    """

    page_size: int
    pages: int
    frames: dict[int, int]


def read_log(path: Path, *, verify: bool) -> Log | None:
    """The log at ``path``; None if there is none, it is empty, or it does not begin as one.

    Args:
        path: of the log.
        verify: check the checksum of every frame, which reads the whole log; else the last frames may be torn.

    Raises:
        OSError: it cannot be read.
    """
    if not path.exists():
        return None
    with path.open("rb", buffering=1 << 16) as file:
        header = file.read(_HEADER)
        if len(header) < _HEADER:
            return None
        magic, _, page_size, _ = struct.unpack(">4I", header[:16])
        salts, order = header[16:24], _MAGIC.get(magic)
        if order is None or page_size < 512:
            return None
        sums = _checksum(header[:24], (0, 0), order)
        committed: dict[int, int] = {}
        pending: dict[int, int] = {}
        pages, position, size = 0, _HEADER, os.fstat(file.fileno()).st_size
        while position + _FRAME_HEADER + page_size <= size:
            file.seek(position)
            frame = file.read(_FRAME_HEADER + (page_size if verify else 0))
            number, after_commit = struct.unpack(">2I", frame[:8])
            if frame[8:16] != salts or not number:
                break  # left over from before the log was last begun anew
            if verify:
                sums = _checksum(frame[:8] + frame[_FRAME_HEADER:], sums, order)
                if struct.unpack(">2I", frame[16:24]) != sums:
                    break
            pending[number] = position + _FRAME_HEADER
            if after_commit:
                committed |= pending
                pending, pages = {}, after_commit
            position += _FRAME_HEADER + page_size
    return Log(page_size, pages, committed)


def why_foreign(database: Path) -> str | None:
    """Why the log beside ``database`` cannot be its own; None if it can be, or there is none.

    A log holds every page that was added to its database since the last checkpoint, and a database of esprobe's never
    shrinks. So the log is of another moment, or of another database, where pages are in neither, or where the database
    has more pages than after the log's last commit.

    Raises:
        OSError: a file cannot be read.
    """
    real = Path(os.path.realpath(database))
    log = read_log(real.with_name(real.name + "-wal"), verify=False)
    if log is None or not log.pages:
        return None
    with open(real, "rb") as file:
        header = file.read(100)
        size = os.fstat(file.fileno()).st_size
    if header[:16] != _DATABASE_MAGIC:
        return None  # new, or damaged: SQLite says so
    page_size = page_size_of(header)
    if page_size != log.page_size:
        return f"its pages have {log.page_size} bytes, those of the database {page_size}"
    held = size // page_size
    if missing := sum(number not in log.frames for number in range(held + 1, log.pages + 1)):
        return f"it is of a file of {log.pages:,} pages, {missing:,} of which are neither in it nor in the database"
    if held > log.pages and len(log.frames) < log.pages:
        return f"it is of a file of {log.pages:,} pages, and the database has {held:,}"
    return None


def page_size_of(header: bytes) -> int:
    """The page size in a database's header of at least 18 bytes."""
    size: int = struct.unpack(">H", header[16:18])[0]
    return 65536 if size == 1 else size


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    """SQLite's running checksum, continued over a multiple of 8 bytes.

    Each pair of words (a, b) does s0 += a + s1, then s1 += b + s0, modulo 2**32. Unrolled over n pairs that is a
    weighted sum of the words, whose weights are Fibonacci numbers; numpy's integers wrap as the definition does.
    """
    import numpy as np  # only here: commands without numbers start without it

    words = np.frombuffer(data, order).astype(np.uint32)
    fibonacci = _fibonacci(len(words) + 2)
    n = len(words) // 2
    # After n pairs: s0 = F(2n-1) s0 + F(2n) s1 + the sum of F(2(n-i)-1) a_i + F(2(n-i)-2) b_i; s1 has the next F each.
    weights0 = fibonacci[np.arange(2 * n - 1, -1, -1)]
    weights1 = fibonacci[np.arange(2 * n, 0, -1)]
    s0, s1 = (np.uint32(value) for value in sums)
    with np.errstate(over="ignore"):
        first = fibonacci[2 * n - 1] * s0 + fibonacci[2 * n] * s1 + (weights0 * words).sum(dtype=np.uint32)
        second = fibonacci[2 * n] * s0 + fibonacci[2 * n + 1] * s1 + (weights1 * words).sum(dtype=np.uint32)
    return int(first), int(second)


@lru_cache(maxsize=4)
def _fibonacci(count: int) -> "NDArray[np.uint32]":
    """F(0) = 0, F(1) = 1, ..., modulo 2**32."""
    import numpy as np

    values = [0, 1]
    while len(values) < count:
        values.append((values[-1] + values[-2]) % 2**32)
    return np.array(values, np.uint32)
