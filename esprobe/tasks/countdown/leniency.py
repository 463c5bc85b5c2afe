r"""The expression that a model meant, written in another way than asked: LaTeX, Unicode operators, a result behind it.

Owns what is read leniently. Does not know whether the expression is right. Linear time, and short texts only.
"""

import re

from esprobe.tasks.countdown.answers import last_answer

_MOST_CHARACTERS = 1000
_MOST_FRACTIONS = 8  # nested in each other
_BOXED = "\\boxed{"
_WORDS = {
    "\\times": "*", "\\cdot": "*", "\\ast": "*", "\\div": "/", "\\left": "", "\\right": "", "\\,": " ", "\\;": " ",
    "\\!": "", "\\(": "", "\\)": "", "\\[": "", "\\]": "",
}  # fmt: skip
_WORD = re.compile("|".join(map(re.escape, sorted(_WORDS, key=len, reverse=True))))
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\u00d7\u22c5\u00b7\u2217\u2715\u2a09", "*"),
        **dict.fromkeys("\u00f7\u2215\u2044", "/"),
        **dict.fromkeys("\u2212\u2013\u2014\u2010\u2011", "-"),
        "[": "(",
        "]": ")",
        "$": "",
        "\n": " ",
        "\t": " ",
        "\u00a0": " ",
    }
)
_FRACTION = re.compile(r"\\[dt]?frac ?\{([^{}]*)\} ?\{([^{}]*)\}")
_BRACES = str.maketrans("{}", "()")


def lenient_answer(completion: str) -> str | None:
    r"""The content of the last answer block, else of the last ``\boxed{}``; None without either."""
    block = last_answer(completion)
    if block is not None and block.strip():
        return block
    return _boxed(completion)


def plain_expression(content: str) -> str:
    """The expression in digits, ``+ - * / ( )`` and spaces, as far as it can be read; what cannot stays as it is."""
    if len(content) > _MOST_CHARACTERS:
        return content.strip()
    if (inner := _boxed(content)) is not None:
        content = inner
    text = _WORD.sub(lambda word: _WORDS[word[0]], content)
    for _ in range(_MOST_FRACTIONS):
        text, count = _FRACTION.subn(r"((\1)/(\2))", text)
        if not count:
            break
    text = text.translate(_CHARACTERS).translate(_BRACES).strip().rstrip(".")
    # "44 + 19 + 35 = 98" is the expression and its value, "98 = 44 + 19 + 35" the other way round.
    sides = [side.strip() for side in text.split("=") if side.strip()]
    calculated = [side for side in sides if not side.lstrip("-").replace(".", "", 1).isdecimal()]
    return (calculated or sides or [""])[0]


def _boxed(text: str) -> str | None:
    r"""What stands in the last ``\boxed{}`` that is closed."""
    start = text.rfind(_BOXED)
    if start < 0:
        return None
    depth = 1
    for place in range(start + len(_BOXED), min(len(text), start + _MOST_CHARACTERS)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start + len(_BOXED) : place]
    return None
