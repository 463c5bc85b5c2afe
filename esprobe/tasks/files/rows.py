"""Rows from data files: JSON lines, JSON, CSV, TSV, Parquet, Arrow files and folders.

Owns the formats and their errors. Does not know what the columns mean.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from esprobe.errors import DataError, LibraryError

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a file or an Arrow folder, by the ending of its name.

    Raises:
        DataError: it does not exist, cannot be read, or has another form than its name says.
        LibraryError: a library that reads it is not installed.
    """
    if path.is_dir():
        rows = _arrow_folder(path)
    elif (read := _READERS.get(path.suffix.lower())) is None:
        raise DataError(
            f"{path} ends in {path.suffix or 'nothing'}, so its form is unknown; "
            f"use a file that ends in one of {', '.join(SUFFIXES)}, or a folder that `save_to_disk` wrote"
        )
    else:
        rows = read(path)
    if not rows:
        raise DataError(f"{path} has no rows, so there are no problems; add some")
    return rows


def other_separator(columns: Sequence[str]) -> str:
    """What to say where the one column of a table seems to be several, separated by another sign; nothing else."""
    found = [sign for sign in (";", "\t", "|", ",") if len(columns) == 1 and sign in columns[0]]
    if not found:
        return ""
    fix = "rename it .tsv" if found[0] == "\t" else "save it with commas, or with tabs as .tsv"
    return f"; its cells seem to be separated by {found[0]!r}: {fix}"


def plain(value: Any) -> Any:
    """A value as JSON has it: dates and decimals become texts, NaN becomes null, bytes become their SHA-256."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, bytes):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte 0x{error.object[error.start]:02x} at offset {error.start}); save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"data file {path} cannot be read ({reason}); check its path") from None


def _json_lines(path: Path) -> list[Row]:
    # Not splitlines(): JSON may hold U+2028 and others that it takes for line ends.
    lines = ((number, line) for number, line in enumerate(_text(path).split("\n"), 1) if line.strip())
    return [_object(_json(line, f"{path}, line {number}"), f"{path}, line {number}") for number, line in lines]


def _json_list(path: Path) -> list[Row]:
    rows = _json(_text(path), str(path))
    if not isinstance(rows, list):
        raise DataError(f"{path} must hold a list of objects, one a problem; for one object a line name it .jsonl")
    return [_object(row, f"{path}, row {number}") for number, row in enumerate(rows)]


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _without_repeats(pairs, place))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is not valid JSON ({error}); fix it there") from None


def _without_repeats(pairs: list[tuple[str, Any]], place: str) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        ((key, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise DataError(f"{place} has the key {key!r} twice; remove one of them")
    return row


def _object(row: Any, place: str) -> Row:
    if not isinstance(row, dict):
        raise DataError(f'{place} is not an object; a row looks like {{"question": "...", "answer": "..."}}')
    return row


def _separated(delimiter: str) -> Callable[[Path], list[Row]]:
    def read(path: Path) -> list[Row]:
        return list(_table_rows(path, delimiter))

    return read


def _table_rows(path: Path, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter, strict=True)
    try:
        names = next(reader, [])
        if repeated := [name for name, times in Counter(names).items() if times > 1]:
            raise DataError(f"{path} has the column {repeated[0]!r} twice in its first line; rename one of them")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                raise DataError(
                    f"{path}, line {reader.line_num} has {len(cells)} cells, and the first line names {len(names)} "
                    f"columns; put texts that hold {delimiter!r} or a line break in double quotes"
                    f"{other_separator(names)}"
                )
            yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num} is not valid CSV ({error}); fix it there") from None


def _parquet(path: Path) -> list[Row]:
    return _by_pyarrow(path, lambda: __import__("pyarrow.parquet").parquet.read_table(path))


def _arrow(path: Path) -> list[Row]:
    return _by_pyarrow(path, lambda: _arrow_table(path))


def _arrow_table(path: Path) -> Any:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_file(source).read_all()


def _by_pyarrow(path: Path, read: Callable[[], Any]) -> list[Row]:
    try:
        import pyarrow as pa
    except ImportError:
        raise LibraryError(
            f"{path} needs pyarrow, which is not installed; install it with: pip install 'esprobe[parquet]'"
        ) from None
    try:
        rows: list[Row] = read().to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"data file {path} cannot be read ({error}); check its path and form") from None
    return rows


def _arrow_folder(path: Path) -> list[Row]:
    """What ``datasets.Dataset.save_to_disk`` writes: Arrow files, in the order of state.json."""
    if (path / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(one.name for one in path.iterdir() if one.is_dir()))
        raise DataError(f"{path} holds several splits ({splits}); give the path of one, such as {path}/test")
    if not (path / "state.json").is_file():
        raise DataError(f"{path} is a folder without state.json, which `save_to_disk` writes; give a file, or such one")
    state = _json(_text(path / "state.json"), str(path / "state.json"))
    try:
        files: Sequence[str] = [one["filename"] for one in state["_data_files"]]
    except (KeyError, TypeError):
        raise DataError(
            f"{path / 'state.json'} lists no data files; write the folder again with save_to_disk"
        ) from None
    return [row for name in files for row in _arrow(path / name)]


_READERS: dict[str, Callable[[Path], list[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_list,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
    ".arrow": _arrow,
}

SUFFIXES = tuple(_READERS)
"""Endings of the files that can be read."""
