"""Mathematical equality by the library math-verify: ``compare: math``.

The library takes milliseconds and can work for ever, so it is asked only where the texts do not decide, once for each
pair, and only about short answers.
"""

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from esprobe.errors import LibraryError
from esprobe.tasks.files.choices import Options

LONGEST = 500
"""Characters of the longest answer that is compared."""

TIMEOUT_S = 2
"""Seconds after which reading an answer, or a comparison, ends; only in a main thread can it be interrupted."""

_INTEGER = re.compile(r"-?[0-9]{1,18}")
# A backslash after another one ends a row of a matrix.
_SPACING = re.compile(r"(?<!\\)(?:\\left(?![A-Za-z])|\\right(?![A-Za-z])|\\[!,;: ])")
_SPACES = re.compile(r"(?<![A-Za-z])\s+|\s+(?![A-Za-z])")
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+")


@dataclass(frozen=True)
class Math:
    """Equal as mathematical expressions, sets, intervals or matrices."""

    spec: Sequence[Any] = field(default_factory=lambda: ("math", f"math-verify {_version()}"))

    def read(self, text: str, options: Options | None) -> str | None:
        """The LaTeX without spacing and dollar signs; two spellings of equal values may differ."""
        return normal(text) or None if len(text) <= LONGEST else None

    def equal(self, gold: str, answer: str, inputs: Mapping[str, Any]) -> bool:
        """Whether an answer is right.

        Raises:
            TimeoutError: the library did not come to an end in time.
            LibraryError: math-verify is not installed.
        """
        if gold == answer:
            return True
        if _INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer):
            return int(gold) == int(answer)
        if (verdict := _equal(gold, answer)) is None:
            raise TimeoutError(f"math-verify took more than {TIMEOUT_S} s")
        return verdict

    def accepts(self, gold: str, inputs: Mapping[str, Any]) -> bool:
        """Whether the library can read the gold answer, so that it recognises it in other spellings."""
        return bool(_equal(gold, gold))


@lru_cache(maxsize=1 << 12)
def normal(text: str) -> str:
    """LaTeX without what does not change its meaning."""
    text = text.strip().strip("$").strip()
    text = _SPACING.sub(lambda found: " " if found[0] == "\\ " else "", text.replace("\\$", ""))
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").rstrip(". \t\n")
    text = _SPACES.sub("", text).strip()
    return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text


@lru_cache(maxsize=1 << 16)
def _equal(gold: str, answer: str) -> bool | None:
    """What the library says; None if it was interrupted."""
    try:
        from math_verify import verify
    except ImportError:
        raise LibraryError(
            "comparing by 'math' needs the library math-verify, which is not installed; "
            "install it with: pip install 'esprobe[math]'"
        ) from None
    # The library interrupts itself by a signal, which only a main thread receives.
    seconds = TIMEOUT_S if threading.current_thread() is threading.main_thread() else 0
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns of each interruption
    began = time.monotonic()
    equal = bool(verify(_parsed(gold, seconds), _parsed(answer, seconds), timeout_seconds=seconds))
    # It returns False, too, where it was interrupted.
    return equal if equal or time.monotonic() - began < TIMEOUT_S else None


@lru_cache(maxsize=1 << 12)
def _parsed(text: str, seconds: int) -> list[Any]:
    from math_verify import parse

    parsed: list[Any] = parse(f"${text}$", parsing_timeout=seconds)
    return parsed


def _version() -> str:
    try:
        return version("math-verify")
    except PackageNotFoundError:
        return "not installed"
