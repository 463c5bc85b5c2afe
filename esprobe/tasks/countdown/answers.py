"""Where a completion's answer stands, and which numbers it is written with.

Owns finding and reading the text of an answer. Does not know what an expression is worth, or when it is right.
"""

import re
from collections.abc import Sequence

CHARACTERS = re.compile(r"[0-9+\-*/() ]+")
"""All that an answer may be written with."""

_SPACES = re.compile(r"  +")
_DIGITS = re.compile(r"[0-9]+")
_MOST_DIGITS = 640  # the fewest that Python's int() may be set to refuse


def last_answer(completion: str) -> str | None:
    """The content of the last answer block, reading blocks from left to right, with runs of spaces as one space.

    None without one. What a number of spaces means to Python's grammar one space means as well.

    A block runs from an opening tag to the first closing tag after it, and the next one is looked for behind that.
    So the last block is the one that holds the last opening tag with a closing tag behind it, and it begins at the
    first opening tag after the closing tag before. Linear time, where a pattern takes quadratic time on unclosed tags.
    """
    last_open = completion.rfind("<answer>", 0, max(completion.rfind("</answer>"), 0))
    if last_open < 0:
        return None
    before = completion.rfind("</answer>", 0, last_open)
    start = completion.find("<answer>", before + 1) + len("<answer>")
    # Reading ten thousand spaces one token after another takes long; a model that repeats itself writes them.
    content = completion[start : completion.find("</answer>", start)]
    return _SPACES.sub(" ", content) if "  " in content else content


def uses_exactly(content: str, numbers: Sequence[int]) -> bool:
    """Whether the numbers in the text, leading zeros ignored, are the given ones, each as often as given."""
    written = _DIGITS.findall(content)
    if len(written) != len(numbers):
        return False
    if len(content) > _MOST_DIGITS:  # one of them may be as long
        written = [digits.lstrip("0") or "0" for digits in written]
        if max(map(len, written), default=0) > _MOST_DIGITS:
            return False
    return sorted(map(int, written)) == sorted(numbers)
