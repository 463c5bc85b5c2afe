"""An answer by a regular expression of the user's, with a time limit: ``extract: {regex: ...}``.

The library regex, unlike Python's re, can be stopped: an expression such as ``(a|aa)+b`` can search for ever, and no
signal reaches a process while re does.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from esprobe.errors import LibraryError
from esprobe.tasks.files.choices import Options
from esprobe.tasks.files.keys import Key

TIMEOUT_S = 1.0
"""Seconds after which the search in one text ends."""

_SEARCHED = 20_000


@dataclass(frozen=True)
class Regex:
    """The last match of a regular expression in the end of the text: its first group, or all of it without groups."""

    pattern: Any

    @property
    def spec(self) -> Sequence[str]:
        """What decides the result."""
        return ("regex", self.pattern.pattern)

    def find(self, text: str, options: Options | None) -> str | None:
        """The answer of a text.

        Raises:
            TimeoutError: the search takes longer than ``TIMEOUT_S``.
        """
        until = time.monotonic() + TIMEOUT_S
        found = None
        # The library's own limit is for one match.
        for found in self.pattern.finditer(text[-_SEARCHED:], timeout=TIMEOUT_S):  # noqa: B007 - the last one
            if time.monotonic() > until:
                raise TimeoutError(f"the regular expression {self.pattern.pattern!r} takes more than {TIMEOUT_S:g} s")
        if found is None:
            return None
        answer: str | None = found[1] if self.pattern.groups else found[0]
        return answer.strip() if answer else None

    def write(self, answer: str) -> None:
        """Nothing: an expression does not say how to write what it matches."""


def regex_extraction(key: Key) -> Regex:
    """The extraction by the expression that a key of a task file holds.

    Raises:
        DataError: it is no regular expression.
        LibraryError: the library regex is not installed.
    """
    try:
        import regex
    except ImportError:
        raise LibraryError(
            f"task file {key.file}: {key.name} needs the library regex, which is not installed; install it with: "
            f"pip install regex"
        ) from None
    try:
        # Version 0 reads what Python's re reads.
        return Regex(regex.compile(key.text() or "", regex.V0))
    except regex.error as error:
        key.wrong(f"it is not a regular expression ({error})")
