"""Tables for terminals, and durations. Cells must be safe to print already (``safe_text.plain``)."""

import io
from collections.abc import Collection, Sequence
from typing import Any


def boxed(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[int] = (0,),
    head_width: int | None = None,
    rule_after: int | None = None,
) -> str:
    """A table with ASCII borders and without colours, in which no cell is broken across lines.

    Args:
        head: the columns' names.
        rows: cells, as many in each row as ``head`` has.
        left: positions of the columns that are flush left; the others are flush right.
        head_width: longer names are folded to about this many characters; None folds none.
        rule_after: rows above a rule that divides the table; None draws none.
    """
    # Loaded here: tables without borders need no rich.
    from rich.box import ASCII2
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    widths = [width(column, head_width) for column in zip(head, *rows, strict=True)]
    table = Table(box=ASCII2, pad_edge=True)
    for number, name in enumerate(head):
        # Text, for a plain string would have its square brackets read as markup.
        fold = cell_len(name) > widths[number]
        justify: Any = "left" if number in left else "right"
        table.add_column(Text(name), justify=justify, min_width=widths[number], no_wrap=not fold)
    for number, row in enumerate(rows, start=1):
        table.add_row(*(Text(cell, no_wrap=True) for cell in row), end_section=number == rule_after)
    total = sum(each + 3 for each in widths) + 1
    console = Console(file=(buffer := io.StringIO()), width=total, color_system=None, legacy_windows=False)
    console.print(table)
    return buffer.getvalue()


def width(column: Sequence[str], head_width: int | None = None) -> int:
    """Terminal cells that a column of ``boxed`` takes, its name first; borders and padding take 3 more."""
    from rich.cells import cell_len

    head, *cells = map(cell_len, column)
    return max(head if head_width is None else min(head, head_width), *cells, 0)


def aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Lines of columns without borders, two spaces apart, flush left or else right; lines do not end in spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = str.rjust if right else str.ljust
    return ["  ".join(map(pad, row, widths)).rstrip() for row in rows]


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds, "1:02:03"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:d}:{minutes:02d}:{seconds:02d}"
