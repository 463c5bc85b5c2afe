"""Countdown rows from files: every check between bytes and rows.

Owns the file form and its errors. Does not know prompts, scores or where a file came from. Rows are objects with
"numbers", "target" and optionally "context"; other fields, such as "id" and "solution", are ignored.
"""

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from esprobe.errors import DataError
from esprobe.tasks.countdown.rows import Row

LARGEST_FILE_BYTES = 1 << 28
LARGEST_NUMBER = 1 << 53
"""Scoring follows the published code, which computes in floats: beyond this they skip integers."""
MOST_NUMBERS = 64
LONGEST_TARGET = 64
SHOWN = 40

FORM = 'rows look like {"numbers": [44, 19, 35], "target": "98"}'
TARGET = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON file.

    Raises:
        DataError: the file is missing, unreadable, or not of the form.
    """
    rows = _parse(_text(path), path)
    if not isinstance(rows, list):
        raise DataError(
            f"{path} holds {_kind(rows)}, not a list, so it has no rows to ask about; "
            f"give --data a file with a JSON list, whose {FORM}"
        )
    if not rows:
        raise DataError(f"{path} holds an empty list, so there is nothing to ask; {FORM}")
    return [row_of(row, f"{path}, row {index}") for index, row in enumerate(rows)]


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder, and rows are read from one file; give --data the JSON file in it")
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is not a regular file, so it may never end; save it to a file for --data")
        if (size := path.stat().st_size) > LARGEST_FILE_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes, more than any Countdown file needs, and would be read into memory "
                f"whole; give --data a file below {LARGEST_FILE_BYTES:,}"
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"there is no file {path}, so there is nothing to ask; "
            "give --data the path of a JSON file, or one of: generated, es-paper"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(
            f"{path} cannot be read ({reason}), so there is nothing to ask; give --data a readable file"
        ) from None
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}, so its text would be "
            "guessed; save the file as UTF-8"
        ) from None


class _Doubled(dict[str, Any]):
    """An object in which a key stands twice."""

    key: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) == len(pairs):
        return held
    doubled = _Doubled(held)
    ((doubled.key, _),) = Counter(name for name, _ in pairs).most_common(1)
    return doubled


def _parse(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        problem = f"is not valid JSON ({error.msg.removesuffix(' at')} at {place}), so rows may be missing"
    except RecursionError:
        problem = "nests its JSON too deeply to be read"
    except ValueError:
        # Python refuses to turn very long digit strings into integers: their cost is quadratic.
        problem = "holds an integer of thousands of digits, which cannot be read"
    raise DataError(f"{path} {problem}; correct the file or download it again ({FORM})")


def row_of(row: Any, place: str) -> Row:
    """One row, checked.

    Args:
        row: what JSON holds there.
        place: where that is, for people.

    Raises:
        DataError: it is not of the form.
    """
    if not isinstance(row, dict):
        raise DataError(f"{place} is {_kind(row)}, not an object, so it cannot be asked; {FORM}")
    if isinstance(row, _Doubled):
        raise DataError(f"{place} has {_show(row.key)} twice, and only one can be meant; remove the other ({FORM})")
    for field in ("numbers", "target"):
        if field not in row:
            raise DataError(f'{place} has no "{field}", so it cannot be asked; {FORM}')
    return Row(
        numbers=_numbers(row["numbers"], f'{place}: "numbers"'),
        target=_target(row["target"], f'{place}: "target"'),
        context=_context(row.get("context"), f'{place}: "context"'),
    )


def _numbers(numbers: Any, place: str) -> tuple[int, ...]:
    if not isinstance(numbers, list):
        raise DataError(f"{place} is {_kind(numbers)}, and answers must use a list of numbers; {FORM}")
    if not 1 <= len(numbers) <= MOST_NUMBERS:
        raise DataError(
            f"{place} has {len(numbers)} numbers, and a problem needs 1 to {MOST_NUMBERS}; correct the row ({FORM})"
        )
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            raise DataError(
                f"{place} holds {_kind(number)}, and answers are checked to use exactly these integers; "
                f"write plain integers ({FORM})"
            )
        if not 0 <= number <= LARGEST_NUMBER:
            raise DataError(
                f"{place} holds {_show(number)}, which no answer could be checked to use; "
                f"write integers from 0 to {LARGEST_NUMBER}"
            )
    return tuple(numbers)


def _target(target: Any, place: str) -> str:
    if isinstance(target, bool) or not isinstance(target, str | int | float):
        raise DataError(f"{place} is {_kind(target)}, which no answer can equal; write a number such as 98 or 27.4")
    text = target if isinstance(target, str) else repr(target)
    # A tiny exponent is finite, and yet its exact value would have a denominator of a billion digits.
    if len(text) > LONGEST_TARGET or not TARGET.fullmatch(text) or not math.isfinite(float(text)) or _is_tiny(text):
        raise DataError(
            f"{place} is {_kind(target)}, which no answer can equal; write a finite number such as 98 or 27.4"
        )
    return text


def _is_tiny(text: str) -> bool:
    exponent = re.search(r"[eE]([+-]?\d+)", text)
    return exponent is not None and int(exponent[1]) < -LONGEST_TARGET


def _context(context: Any, place: str) -> str | None:
    if context is None:
        return None
    if not isinstance(context, str) or not context:
        raise DataError(
            f"{place} is {_kind(context)}, and it is the whole prompt of style raw; write a text or leave it out"
        )
    try:
        context.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place} has half a surrogate pair at character {error.start}, which no tokenizer can read; "
            "correct the escape there"
        ) from None
    return context


def _kind(value: Any) -> str:
    """What was found, for people, however long it is."""
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
