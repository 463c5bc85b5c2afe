"""Extract the answer from a completion, and check which numbers it uses.

Owns finding the text of an answer. Does not know an expression's value, or when it is correct.
"""

import re
from collections.abc import Sequence

CHARACTERS = re.compile(r"[0-9+\-*/() ]+")
"""The characters an answer may consist of."""

_SPACES = re.compile(r"  +")
_DIGITS = re.compile(r"[0-9]+")
_MOST_DIGITS = 640  # the lowest limit that Python's int() can be configured to


def last_answer(completion: str) -> str | None:
    """The content of the last answer block, reading blocks from left to right, with runs of spaces as one space.

    None without one. To Python's grammar a run of spaces is the same as one space.

    A block runs from an opening tag to the first closing tag after it; the search for the next one starts there.
    So the last block contains the last opening tag that has a closing tag after it, and begins at the first opening
    tag after the previous closing tag. Linear time, where a regular expression is quadratic on unclosed tags.
    """
    last_open = completion.rfind("<answer>", 0, max(completion.rfind("</answer>"), 0))
    if last_open < 0:
        return None
    before = completion.rfind("</answer>", 0, last_open)
    start = completion.find("<answer>", before + 1) + len("<answer>")
    # Models that repeat themselves write ten thousand spaces, which take long to tokenise one by one.
    content = completion[start : completion.find("</answer>", start)]
    return _SPACES.sub(" ", content) if "  " in content else content


def uses_exactly(content: str, numbers: Sequence[int]) -> bool:
    """Whether the numbers in the text, leading zeros ignored, are the given ones, each as often as given."""
    written = _DIGITS.findall(content)
    if len(written) != len(numbers):
        return False
    if len(content) > _MOST_DIGITS:  # one of them may be that long
        written = [digits.lstrip("0") or "0" for digits in written]
        if max(map(len, written), default=0) > _MOST_DIGITS:
            return False
    return sorted(map(int, written)) == sorted(numbers)
