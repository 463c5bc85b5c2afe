"""Where a completion ends that contains one of the texts of ``--stop``: right after the first of them.

Owns that all engines cut at the same place. Does not know how an engine finds out that it may stop.
"""

from collections.abc import Sequence
from typing import Any

_MORE = 8
"""Tokens decoded beyond those that a stop text can have: the last one may be a part of a character."""


def end_of_stop(text: str, stops: Sequence[str]) -> int | None:
    """The length of ``text`` up to the end of the stop text that ends first; None if it contains none."""
    ends = (place + len(stop) for stop in stops if (place := text.find(stop)) >= 0)
    return min(ends, default=None)


class StopWatch:
    """Looks for stop texts at the end of generated tokens, without decoding all of them again at every token."""

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        # A token that is part of a text has at least one byte of it.
        self._window = max(len(stop.encode()) for stop in stops) + _MORE

    def has_stopped(self, tokens: Sequence[int]) -> bool:
        """Whether one of the texts lies among the last of the generated ``tokens``."""
        text = self._tokenizer.decode(
            tokens[-self._window :], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return any(stop in text for stop in self._stops)
