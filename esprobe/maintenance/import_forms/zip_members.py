"""The members of a zip file, also those compressed by Zstandard, which zipfile reads from Python 3.14 on only."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

from esprobe.errors import DataError, LibraryError
from esprobe.maintenance.import_forms.json_lines import unreadable

ZIP = b"PK\x03\x04"
_ZSTANDARD = 93
_LOCAL_HEADER = struct.Struct("<26xHH")
"""The lengths of the name and of the extra field, at the end of the header that precedes a member's data."""


class ZipMembers:
    """A zip file.

    Attributes:
        names: of its members, in their order.

    Raises:
        DataError: it is damaged, such as one whose end is missing, as while it is being written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as file:
                self._members = dict(file.NameToInfo)
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as err:
            raise self._damaged(err) from err
        self.names = list(self._members)

    def read(self, name: str) -> bytes:
        """The content of a member.

        Raises:
            DataError: it is damaged.
            LibraryError: it is compressed by Zstandard, and zstandard is not installed.
        """
        member = self._members[name]
        try:
            with zipfile.ZipFile(self._path) as file:
                try:
                    return file.read(name)
                except NotImplementedError:
                    if member.compress_type != _ZSTANDARD:
                        raise
            return self._read_zstandard(member)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as err:
            raise self._damaged(err) from err
        except (ValueError, struct.error) as err:
            raise self._damaged(err) from err

    def _read_zstandard(self, member: zipfile.ZipInfo) -> bytes:
        try:
            import zstandard
        except ImportError:
            raise LibraryError(
                f"{self._path} is compressed by Zstandard, which needs zstandard; install it with: pip install "
                f"zstandard; or convert the log with: inspect log convert {self._path} --to json --output-dir converted"
            ) from None
        with self._path.open("rb") as file:
            file.seek(member.header_offset)
            lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            file.seek(sum(lengths), io.SEEK_CUR)
            packed = file.read(member.compress_size)
        try:
            reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed), read_across_frames=True)
            content: bytes = reader.read()
        except zstandard.ZstdError as err:
            raise self._damaged(err) from err
        if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
            raise self._damaged(ValueError(f"{member.filename} is not as it was written"))
        return content

    def _damaged(self, err: Exception) -> DataError:
        if isinstance(err, zipfile.BadZipFile | OSError):
            return unreadable(self._path, err)
        return DataError(f"{self._path} cannot be read ({err}); it is cut off or damaged, so copy it again")
