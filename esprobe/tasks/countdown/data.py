"""Countdown rows from files: reading and validation.

Owns the file format and its errors. Does not know prompts, scores or where a file came from. Rows are objects with
"numbers" (or "nums", as in Countdown-Tasks-3to4), "target" and optionally "context"; other fields, such as "id" and
"solution", are ignored.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from esprobe.errors import DataError
from esprobe.tasks.countdown.quick_rows import LARGEST_NUMBER, LONGEST_TARGET, MOST_NUMBERS, is_target, quick_rows
from esprobe.tasks.countdown.rows import Row

LARGEST_FILE_BYTES = 1 << 28
SHOWN = 40

FORM = 'rows look like {"numbers": [44, 19, 35], "target": "98"}'


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON file, of JSON lines if its name ends in .jsonl or .ndjson, or of a Parquet file.

    Raises:
        DataError: the file is missing, unreadable, or does not have the expected form.
        LibraryError: it is a Parquet file, and pyarrow is not installed.
    """
    if path.suffix.lower() == ".parquet":
        from esprobe.tasks.files.rows import read_rows as read_table

        return [row_of(row, f"{path}, row {index}") for index, row in enumerate(read_table(path))]
    text = _text(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _lines(text, path)
    if (quick := quick_rows(text)) is not None:
        return quick
    rows = _parse(text, path)
    if not isinstance(rows, list):
        raise DataError(
            f"{path} holds {_kind(rows)}, not a list, so it has no rows; "
            f"give --data a file with a JSON list, whose {FORM}"
        )
    if not rows:
        raise DataError(f"{path} holds an empty list, so there are no problems; add rows ({FORM})")
    return [row_of(row, f"{path}, row {index}") for index, row in enumerate(rows)]


def _lines(text: str, path: Path) -> list[Row]:
    # Not splitlines(): JSON may hold U+2028 and others that it takes for line ends.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path} is empty, so there are no problems; add rows ({FORM})")
    quick = quick_rows(f"[{','.join(line for _, line in lines)}]")
    if quick is not None and len(quick) == len(lines):
        return quick
    return [row_of(_parse(line, f"{path}, line {number}"), f"{path}, line {number}") for number, line in lines]


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder, not a file; give --data the path of the JSON file")
        if path.exists() and not path.is_file():
            raise DataError(
                f"{path} is not a regular file, so reading it may never end; save its rows to a file for --data"
            )
        if (size := path.stat().st_size) > LARGEST_FILE_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes, and files are read whole into memory; "
                f"give --data a file of at most {LARGEST_FILE_BYTES:,} bytes"
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"file {path} does not exist, so no rows can be read; "
            "give --data the path of a JSON file, or one of: generated, es-paper"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path} cannot be read ({reason}); give --data the path of a readable file") from None
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}, so its text is "
            "ambiguous; save the file as UTF-8"
        ) from None


class _Duplicate(dict[str, Any]):
    """A JSON object that has a key twice."""

    key: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) == len(pairs):
        return held
    found = _Duplicate(held)
    ((found.key, _),) = Counter(name for name, _ in pairs).most_common(1)
    return found


def _parse(text: str, path: Path | str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        problem = f"is not valid JSON ({error.msg.removesuffix(' at')} at {place}), so rows may be missing"
    except RecursionError:
        problem = "nests its JSON too deeply for Python's parser"
    except ValueError:
        # Python refuses to turn very long digit strings into integers: their cost is quadratic.
        problem = "holds an integer of thousands of digits, which Python refuses to parse"
    raise DataError(f"{path} {problem}; fix the file or download it again ({FORM})")


def row_of(row: Any, place: str) -> Row:
    """One row, checked.

    Args:
        row: the parsed JSON value.
        place: file and row, for the error message.

    Raises:
        DataError: the row does not have the expected form.
    """
    if not isinstance(row, dict):
        raise DataError(f"{place} is {_kind(row)}, not an object; {FORM}")
    if isinstance(row, _Duplicate):
        raise DataError(f"{place} has {_show(row.key)} twice, which is ambiguous; remove one of them ({FORM})")
    if "numbers" in row and "nums" in row:
        raise DataError(f'{place} has "numbers" and "nums", which is ambiguous; remove one of them ({FORM})')
    numbers = "nums" if "nums" in row else "numbers"
    for field in (numbers, "target"):
        if field not in row:
            raise DataError(f'{place} has no "{field}", which every row needs; {FORM}')
    return Row(
        numbers=_numbers(row[numbers], f'{place}: "{numbers}"'),
        target=_target(row["target"], f'{place}: "target"'),
        context=_context(row.get("context"), f'{place}: "context"'),
    )


def _numbers(numbers: Any, place: str) -> tuple[int, ...]:
    if not isinstance(numbers, list):
        raise DataError(f"{place} is {_kind(numbers)}, not a list of integers; {FORM}")
    if not 1 <= len(numbers) <= MOST_NUMBERS:
        raise DataError(
            f"{place} has {len(numbers)} numbers, but a problem needs 1 to {MOST_NUMBERS}; fix the row ({FORM})"
        )
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            raise DataError(f"{place} holds {_kind(number)}, not an integer; write plain integers ({FORM})")
        if not 0 <= number <= LARGEST_NUMBER:
            raise DataError(
                f"{place} holds {_show(number)}, outside of what scoring supports; "
                f"use integers from 0 to {LARGEST_NUMBER}"
            )
    return tuple(numbers)


def _target(target: Any, place: str) -> str:
    if isinstance(target, bool) or not isinstance(target, str | int | float):
        raise DataError(f"{place} is {_kind(target)}, not a number; write a number such as 98 or 27.4")
    text = target if isinstance(target, str) else repr(target)
    if not is_target(text):
        raise DataError(
            f"{place} is {_kind(target)}, not a finite decimal number of at most {LONGEST_TARGET} characters; "
            "write a number such as 98 or 27.4"
        )
    return text


def _context(context: Any, place: str) -> str | None:
    if context is None:
        return None
    if not isinstance(context, str) or not context:
        raise DataError(
            f"{place} is {_kind(context)}, not a text, but it is the prompt of style raw; write a string or omit it"
        )
    try:
        context.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place} has an unpaired surrogate at character {error.start}, which no tokenizer accepts; "
            "fix the escape sequence there"
        ) from None
    return context


def _kind(value: Any) -> str:
    """A short description of a JSON value, for error messages."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return _show(value)


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
