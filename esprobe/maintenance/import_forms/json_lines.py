"""The JSON records of a file: one per line, or a single document over many lines; plain or compressed by gzip."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from esprobe.errors import DataError
from esprobe.maintenance.import_forms.forms import wrong

GZIP = b"\x1f\x8b"


def first_bytes(path: Path) -> bytes:
    """The first four bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as err:
        raise unreadable(path, err) from err


def unreadable(path: Path, err: Exception) -> DataError:
    """The error for a file that the operating system, the compression or the encoding does not give."""
    if isinstance(err, EOFError | zlib.error | gzip.BadGzipFile):
        return DataError(f"{path} cannot be read ({err}); it is cut off or damaged, so copy it again")
    reason = "not UTF-8" if isinstance(err, UnicodeDecodeError) else getattr(err, "strerror", None) or err
    return DataError(f"{path} cannot be read ({reason}); name a file of JSON lines")


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every record with its place, such as "line 3"; blank lines are skipped.

    A file whose first line is a lone ``{`` is one document and is read into memory.

    Raises:
        DataError: the file cannot be read, or a record is not a JSON object.
    """
    try:
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if text == "{" and number == 1 and (rest := file.read()):
                    yield "the document", parsed(path, "the document", line + rest)
                    return
                if text:
                    yield f"line {number}", parsed(path, f"line {number}", line)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as err:
        raise unreadable(path, err) from err


def first_record(path: Path) -> dict[str, Any] | None:
    """The first record; None if there is none.

    Raises:
        DataError: the file cannot be read, or it is not a JSON object.
    """
    return next((record for _, record in records(path)), None)


def parsed(path: Path, place: str, text: str | bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DataError: it is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise wrong(path, place, f"is not valid JSON ({err})") from err
    if not isinstance(value, dict):
        raise wrong(path, place, "is not a JSON object")
    return value


def _open(path: Path) -> IO[str]:
    # Some programs begin a file with a byte order mark.
    if first_bytes(path).startswith(GZIP):
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")
