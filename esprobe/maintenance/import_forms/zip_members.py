"""The members of a zip file, also those compressed by Zstandard, which zipfile reads from Python 3.14 on only."""

import io
import lzma
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from esprobe.errors import DataError, LibraryError
from esprobe.maintenance.import_forms.json_lines import unreadable

ZIP = b"PK\x03\x04"
_ZSTANDARD = 93
_CHUNK = 2**20
_LOCAL_HEADER = struct.Struct("<26xHH")
"""The lengths of the name and of the extra field, at the end of the header that precedes a member's data."""

_DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
"""What zipfile raises of a file that is cut off, changed or encrypted."""
if sys.version_info >= (3, 14):
    from compression.zstd import ZstdError

    _DAMAGE += (ZstdError,)


def member_names(path: Path) -> list[str]:
    """The names of a zip file's members, in their order, each once.

    Raises:
        DataError: it is damaged, such as one whose end is missing, as while it is being written.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return list(file.NameToInfo)
    except _DAMAGE as err:
        raise _damaged(path, err) from err


def members(path: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """The content of members, each by its name; of several of a name, the last.

    Raises:
        DataError: one is damaged.
        LibraryError: one is compressed by Zstandard, and zstandard is not installed.
    """
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGE as err:
            raise _damaged(path, err) from err
        for name in names:
            try:
                content = _content(path, file, archive, archive.getinfo(name))
            except _DAMAGE as err:
                raise _damaged(path, err) from err
            yield name, content


def _content(path: Path, file: IO[bytes], archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except NotImplementedError:
        if member.compress_type != _ZSTANDARD:
            raise
    try:
        import zstandard
    except ImportError:
        raise LibraryError(
            f"{path} is compressed by Zstandard, which needs zstandard; install it with: pip install zstandard; or "
            f"convert the log with: inspect log convert {path} --to json --output-dir converted"
        ) from None
    file.seek(member.header_offset)
    lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    file.seek(sum(lengths), io.SEEK_CUR)
    packed = io.BytesIO(file.read(member.compress_size))
    content = bytearray()
    try:
        reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        while len(content) <= member.file_size and (chunk := reader.read(_CHUNK)):
            content += chunk
    except zstandard.ZstdError as err:
        raise _damaged(path, err) from err
    if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
        raise ValueError(f"{member.filename} is not as it was written")
    return bytes(content)


def _damaged(path: Path, err: Exception) -> DataError:
    if isinstance(err, OSError):
        return unreadable(path, err)
    return DataError(f"{path} cannot be read ({err}); it is cut off or damaged, so copy it again")
