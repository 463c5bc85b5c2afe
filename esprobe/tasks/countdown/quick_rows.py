"""Countdown rows from a text that is in order, column by column.

A file may have half a million rows, and checking them one by one takes ten times as long. Knows the form of rows, and
no errors: ``data`` says what is wrong.
"""

import json
import math
import re
from functools import partial
from itertools import chain, repeat
from typing import Any

from esprobe.tasks.countdown.rows import Row

LARGEST_NUMBER = 1 << 53
"""Scoring follows the published code, which computes in floats: above this not every integer is a float."""
MOST_NUMBERS = 64
LONGEST_TARGET = 64

TARGET = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def quick_rows(text: str) -> list[Row] | None:
    """The rows of a JSON text; None if a row is not of the usual form, whether or not it can be used."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, list) or set(map(type, parsed)) != {dict}:
        return None
    return _rows(parsed) if _has_each_key_once(text, parsed) else None


def _has_each_key_once(text: str, parsed: list[dict[str, Any]]) -> bool:
    """Whether no object of the text has a key twice, of which only the last is parsed."""
    # Every key ends with a quote and, maybe after space, a colon. So if every colon of the text follows a quote, and
    # there are no more of them than parsed keys, no key was lost. A value that holds a colon takes the longer way.
    if text.count('":') == text.count(":") == sum(map(len, parsed)):
        return True
    pairs = json.loads(text, object_pairs_hook=tuple)  # an object becomes a tuple of its pairs, and loses none
    return list(map(len, pairs)) == list(map(len, parsed))


def is_target(text: str) -> bool:
    """Whether a text spells a finite decimal number that is not too long."""
    # A tiny exponent is finite, and yet its exact value would have a denominator of a billion digits.
    return len(text) <= LONGEST_TARGET and bool(TARGET.fullmatch(text)) and _is_finite(text) and not _is_tiny(text)


def _rows(objects: list[dict[str, Any]]) -> list[Row] | None:
    try:
        key, other = ("nums", "numbers") if "nums" in objects[0] else ("numbers", "nums")
        numbers = [one[key] for one in objects]
        targets = [one["target"] for one in objects]
    except KeyError:
        return None
    if any(other in one for one in objects):
        return None
    contexts = list(map(dict.get, objects, repeat("context")))
    if not (_are_numbers(numbers) and _are_targets(targets) and _are_contexts(contexts)):
        return None
    # What Row._make does, without a call of a Python function for each row.
    make = partial(tuple.__new__, Row)
    return list(map(make, zip(map(tuple, numbers), map(str, targets), contexts, strict=True)))


def _are_numbers(numbers: list[Any]) -> bool:
    if set(map(type, numbers)) != {list} or not set(map(len, numbers)) <= set(range(1, MOST_NUMBERS + 1)):
        return False
    every = list(chain.from_iterable(numbers))
    if set(map(type, every)) != {int}:
        return False
    distinct: set[int] = set(every)
    return min(distinct) >= 0 and max(distinct) <= LARGEST_NUMBER


def _are_targets(targets: list[Any]) -> bool:
    return set(map(type, targets)) <= {str, int} and all(is_target(str(target)) for target in set(targets))


def _are_contexts(contexts: list[Any]) -> bool:
    given = [context for context in contexts if context is not None]
    # A text with an unpaired surrogate is no UTF-8, and no tokenizer accepts it.
    return set(map(type, given)) <= {str} and all(context and _is_utf8(context) for context in given)


def _is_utf8(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _is_finite(text: str) -> bool:
    return math.isfinite(float(text))


def _is_tiny(text: str) -> bool:
    exponent = re.search(r"[eE]([+-]?\d+)", text)
    return exponent is not None and int(exponent[1]) < -LONGEST_TARGET
