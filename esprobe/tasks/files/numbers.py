"""Numbers in texts that people and models write: where they stand, and their exact values."""

import re
from fractions import Fraction
from functools import lru_cache

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,20}(?![0-9])|[0-9]+)"
_AMOUNT = rf"(?:{_DIGITS}(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{{1,3}}(?![0-9A-Za-z]))?"
# A minus after a digit or a closing bracket is a subtraction; digits after a letter belong to a name (x52, v1.5).
NUMBER = re.compile(rf"(?:(?<![\w)\]}}.])-)?(?<![A-Za-z_0-9])(?<![0-9]\.){_AMOUNT}(?:/[0-9]+(?:\.[0-9]+)?)?")

_LOOSE_DIGITS = re.compile(r"(?<![A-Za-z0-9])(?<![A-Za-z]\^)(?<![A-Za-z]\^-)(?<![A-Za-z]\^\{)(?<![A-Za-z]\^\{-)[0-9]+")
_MIXED = re.compile(r"[0-9]\s*(\\[dt]?frac)")
_FRACTION = re.compile(r"\\[dt]?frac\{(-?[0-9]+)\}\{([0-9]+)\}")
_LONGEST = 400
_MOST_EXPONENT = 400
_TAIL = 200


def first_number(text: str) -> Fraction | None:
    r"""The first number of a text, after its last equals sign if it has one; None without one.

    Currency signs, units, percent signs and LaTeX's spacing are ignored; commas between groups of three digits are
    thousands separators; ``3/4`` and ``\frac{3}{4}`` are fractions. Bounded time.
    """
    if len(text) < 19 and text.isascii() and text.isdecimal():
        return Fraction(int(text))
    return _first_number(text) if len(text) <= _LONGEST else _first_number.__wrapped__(text)


def leftover(text: str) -> str | None:
    """Digits beside the first number of a text, which are not a part of its value: "1/2" in "3 1/2"; None without any.

    Digits of names and units (``x2``, ``m^2``) do not count, nor what stands before the last equals sign.
    """
    last = text.rpartition("=")[2][:_LONGEST]
    if (mixed := _MIXED.search(last)) is not None:
        return mixed[1]
    plain = _plain(last)
    found = NUMBER.search(plain)
    if found is None:
        return None
    sides = (plain[: found.start()], plain[found.end() :])
    return next((side.strip() for side in sides if _LOOSE_DIGITS.search(side)), None)


@lru_cache(maxsize=4096)
def _first_number(text: str) -> Fraction | None:
    plain = _plain(text[:_LONGEST] if "=" not in text else text[text.rfind("=") + 1 :][:_LONGEST])
    found = NUMBER.search(plain)
    return _value(found[0]) if found else None


def last_number(text: str) -> str | None:
    """The last number of a text as it is written there; None without one."""
    last = max(map(text.rfind, "0123456789"))
    if last < 0:
        return None
    tail = _plain(text[max(0, last + 1 - _TAIL) : last + 1])
    found = None
    for match in NUMBER.finditer(tail):
        found = match[0]
    return found


def spelled(value: Fraction) -> str:
    """The canonical text of a number: an integer or a reduced fraction."""
    return str(value)


def _plain(text: str) -> str:
    """The text without what stands around or inside a number and does not change it."""
    text = text.replace("\u2212", "-")
    if "\\" in text or "{" in text:
        text = text.replace(",\\!", ",").replace("{,}", ",").replace("\\$", "$").replace("\\,", "")
        text = _FRACTION.sub(r"\1/\2", text)
    for sign in "$€£":
        if sign in text:
            text = text.replace(f"-{sign}", "-").replace(sign, " ")
    return text


def _value(text: str) -> Fraction | None:
    """The exact value; None if it is without bound, or a division by zero."""
    above, _, below = text.replace(",", "").partition("/")
    exponent = re.search(r"[eE]([-+]?[0-9]+)$", above)
    if exponent and abs(int(exponent[1])) > _MOST_EXPONENT:
        return None
    try:
        return Fraction(above) / Fraction(below or "1")
    except ZeroDivisionError:
        return None
