"""Makes text from elsewhere (model names, labels, completions) safe to show on a terminal, in Markdown, CSV and HTML.

Such text may hold anything: line breaks, terminal escapes, marks that reverse the direction of text, table pipes, HTML.
"""

import re

_MARKUP = str.maketrans(
    {ch: f"\\{ch}" for ch in "\\`*_[]#|~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
)
_FORMULA = ("=", "+", "-", "@")


def plain(text: str) -> str:
    """One line; control, format and line-breaking characters are replaced by their escapes."""
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)


def multiline(text: str, tab: str) -> str:
    """``plain``, but line breaks stay and each tab becomes ``tab``."""
    return "\n".join(tab.join(map(plain, line.split("\t"))) for line in text.split("\n"))


def csv_text(text: str) -> str:
    """``plain`` for a CSV field; a leading apostrophe keeps spreadsheets from reading the text as a formula."""
    shown = plain(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def markdown(text: str) -> str:
    """``plain`` for Markdown: no markup, HTML, links, mentions or table cells."""
    # Bare addresses become links even without markup.
    return re.sub(r"(?i)(https?|ftp|www)([:.])", lambda m: f"{m[1]}&#{ord(m[2])};", plain(text).translate(_MARKUP))


def html(text: str, *, quote: bool = True) -> str:
    """``plain`` for HTML; with ``quote`` for quoted attributes too."""
    from html import escape  # its table of entities takes longer to import than most commands need it

    return escape(plain(text), quote=quote)
