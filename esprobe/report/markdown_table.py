"""Markdown tables."""

from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table whose head is the first row; foreign text must be escaped (``safe_text.markdown``)."""
    rule = ["---"] * len(rows[0])
    return [f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]]]
