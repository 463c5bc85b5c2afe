"""A plain table for a terminal: ASCII borders, no colours, no cell broken across lines."""

import io
from collections.abc import Sequence

from rich.box import ASCII2
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: frozenset[int] = frozenset({0})) -> str:
    """Rows of cells under a head; the columns ``left`` are flush left, the others right.

    Cells are shown as they are; text that came from elsewhere must be made harmless before (``report.text.plain``).
    """
    table = Table(box=ASCII2, pad_edge=True)
    for number, name in enumerate(head):
        # Text, for a plain string would have its square brackets read as markup.
        table.add_column(Text(name), justify="left" if number in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    widest = sum(max(map(cell_len, column)) + 3 for column in zip(head, *rows, strict=True)) + 1
    console = Console(file=(buffer := io.StringIO()), width=widest, color_system=None, legacy_windows=False)
    console.print(table)
    return buffer.getvalue()
