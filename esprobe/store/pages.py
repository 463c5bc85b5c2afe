"""Reads the rows of an SQLite file page by page, without its trees: a page can be read whatever has become of others.

Follows SQLite's file format (sqlite.org/fileformat2.html). Owns pages, cells and records. Does not know which table a
row is of, nor whether a row makes sense: a page that was overwritten can look like any other.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

from esprobe.errors import StoreError
from esprobe.store.wal import Log, page_size_of, read_log

TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR = 0x0D, 0x0A, 0x02
_SIZES = (4096, 16384, 8192, 32768, 65536, 1024, 2048, 512)
_HEADERS = {TABLE_LEAF: 8, INDEX_LEAF: 8, INDEX_INTERIOR: 12, 0x05: 12}
"""Bytes before the cell pointers of each kind of page; 0x05 leads to the leaves of a table."""
_MAGIC = b"SQLite format 3\0"
_MOST_COLUMNS = 64

Value = int | float | str | bytes | None


class Row(NamedTuple):
    """One record of a page.

    Attributes:
        rowid: of a row of an ordinary table; None in an index or a WITHOUT ROWID table.
        values: its columns, in the table's order. A rowid's own column is None.
    """

    rowid: int | None
    values: tuple[Value, ...]


class Pages:
    """The pages of a database and of its write-ahead log, whose committed pages come first."""

    def __init__(self, path: Path, *, use_log: bool) -> None:
        """Open the file.

        Args:
            path: of the database.
            use_log: read the write-ahead log beside it, too.

        Raises:
            OSError: it cannot be read.
            StoreError: it is too short to hold a page.
        """
        real = Path(os.path.realpath(path))
        log = read_log(real.with_name(real.name + "-wal"), verify=True) if use_log else None
        self._files = ExitStack()
        self._file = self._files.enter_context(real.open("rb"))
        self._log_file = self._file  # unused without a log
        if log is not None:
            self._log_file = self._files.enter_context(real.with_name(real.name + "-wal").open("rb"))
        self._log = log or Log(0, 0, {})
        size = os.fstat(self._file.fileno()).st_size
        header = self._file.read(100)
        self.size = log.page_size if log is not None else _page_size(header, self._file.fileno(), size)
        reserved = header[20] if header[:16] == _MAGIC else 0
        self._usable = self.size - reserved
        self.count = max(-(-size // self.size), self._log.pages)
        if not self.count:
            self.close()
            raise StoreError(f"{path} is empty, so nothing can be salvaged from it; look for a backup")
        index_room = (self._usable - 12) * 64 // 255 - 23
        self._room = {TABLE_LEAF: self._usable - 35, INDEX_LEAF: index_room, INDEX_INTERIOR: index_room}
        self._least = (self._usable - 12) * 32 // 255 - 23

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def free(self) -> set[int]:
        """The pages on the free list as far as it can be followed; what they hold was deleted or moved."""
        first = self._page(1)
        if first[:16] != _MAGIC:
            return set()
        trunk, found = struct.unpack(">I", first[32:36])[0], set()
        while 0 < trunk <= self.count and trunk not in found:
            page = self._page(trunk)
            following, count = struct.unpack(">2I", page[:8])
            found.add(trunk)
            if count > self._usable // 4 - 2:
                break
            found |= {leaf for leaf in struct.unpack(f">{count}I", page[8 : 8 + 4 * count]) if leaf <= self.count}
            trunk = following
        return found

    def rows(self, number: int) -> Iterator[Row]:
        """The records of a page that can be decoded, in its order; none where it is no page of records."""
        page = self._page(number)
        start = 100 if number == 1 else 0
        kind = page[start]
        if kind not in self._room:
            return
        (cells,) = struct.unpack(">H", page[start + 3 : start + 5])
        pointers = start + (12 if kind == INDEX_INTERIOR else 8)
        if pointers + 2 * cells > self._usable:
            return
        for (cell,) in struct.iter_unpack(">H", page[pointers : pointers + 2 * cells]):
            try:
                row = self._row(page, cell + (4 if kind == INDEX_INTERIOR else 0), kind)
            except (IndexError, ValueError, struct.error):  # UnicodeDecodeError is a ValueError
                continue
            yield row

    def rowids(self, number: int) -> list[int]:
        """The rowids of a page of an ordinary table; none of any other page. Quicker than decoding its rows."""
        page = self._page(number)
        if page[0] != TABLE_LEAF:
            return []
        (cells,) = struct.unpack(">H", page[3:5])
        found = []
        for (cell,) in struct.iter_unpack(">H", page[8 : 8 + 2 * cells] if 8 + 2 * cells <= self._usable else b""):
            try:
                _, at = _varint(page, cell)
                found.append(_varint(page, at)[0])
            except IndexError:
                continue
        return found

    def _row(self, page: bytes, at: int, kind: int) -> Row:
        size, at = _varint(page, at)
        rowid = None
        if kind == TABLE_LEAF:
            rowid, at = _varint(page, at)
        room = self._room[kind]
        if size <= room:
            if at + size > self._usable:
                raise ValueError("a record runs past its page")
            return Row(rowid, _record(page[at : at + size]))
        if size > self.count * self._usable:
            raise ValueError("a record is larger than its file")
        local = self._least + (size - self._least) % (self._usable - 4)
        local = local if local <= room else self._least
        (overflow,) = struct.unpack(">I", page[at + local : at + local + 4])
        return Row(rowid, _record(page[at : at + local] + self._chain(overflow, size - local)))

    def _chain(self, number: int, size: int) -> bytes:
        """``size`` bytes of a chain of overflow pages."""
        parts = []
        while size > 0:
            if not 0 < number <= self.count:
                raise ValueError("a chain of overflow pages is broken")
            page = self._page(number)
            (number,) = struct.unpack(">I", page[:4])
            parts.append(page[4 : min(self._usable, 4 + size)])
            size -= self._usable - 4
        return b"".join(parts)

    def _page(self, number: int) -> bytes:
        position = self._log.frames.get(number)
        if position is not None:
            return os.pread(self._log_file.fileno(), self.size, position)
        page = os.pread(self._file.fileno(), self.size, (number - 1) * self.size)
        return page if len(page) == self.size else page.ljust(self.size, b"\0")  # the file was cut off


def _page_size(header: bytes, file: int, size: int) -> int:
    """From the header, or, where that was overwritten, the size for which most pages look like pages of records."""
    if header[:16] == _MAGIC and (found := page_size_of(header)) in _SIZES:
        return found

    def fitting(page_size: int) -> float:
        count = size // page_size
        numbers = range(1, count, max(count // 256, 1))
        return sum(_fits(os.pread(file, page_size, number * page_size)) for number in numbers) / max(len(numbers), 1)

    return max(_SIZES, key=fitting)


def _fits(page: bytes) -> bool:
    """Whether cells lie within the page and reach into its second half: SQLite fills a page from its end."""
    if page[0] not in _HEADERS:
        return False
    first, (cells,) = _HEADERS[page[0]], struct.unpack(">H", page[3:5])
    if not cells or first + 2 * cells > len(page):
        return False
    cell_pointers: tuple[int, ...] = struct.unpack(f">{cells}H", page[first : first + 2 * cells])
    return len(page) // 2 <= max(cell_pointers) < len(page) and min(cell_pointers) >= first


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An integer of 1 to 9 bytes, and the position after it."""
    value = data[at]
    if value < 128:
        return value, at + 1
    value &= 127
    for place in range(at + 1, at + 8):
        byte = data[place]
        value = value << 7 | byte & 127
        if byte < 128:
            return value, place + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)


def _record(payload: bytes) -> tuple[Value, ...]:
    """The columns of a record.

    Raises:
        ValueError: it is none.
    """
    head, at = _varint(payload, 0)
    if not at < head <= len(payload):
        raise ValueError("a record's header runs past the record")
    types = []
    while at < head:
        kind, at = _varint(payload, at)
        types.append(kind)
    if at != head or len(types) > _MOST_COLUMNS:
        raise ValueError("a record's header is not whole")
    values: list[Any] = []
    for kind in types:
        if kind >= 12:
            length = (kind - 12) // 2
            part = payload[at : at + length]
            values.append(part.decode() if kind & 1 else part)
        elif kind == 0:
            length = 0
            values.append(None)
        elif kind <= 6:
            length = _INTEGER_BYTES[kind]
            values.append(int.from_bytes(payload[at : at + length], "big", signed=True))
        elif kind == 7:
            length = 8
            values.append(struct.unpack(">d", payload[at : at + 8])[0])
        elif kind <= 9:
            length = 0
            values.append(kind - 8)
        else:
            raise ValueError("a record has a type that is none")
        at += length
    if at != len(payload):
        raise ValueError("a record is not as long as its header says")
    return tuple(values)
