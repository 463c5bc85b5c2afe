"""Tables for terminals, and durations. Cells must be safe to print already (``safe_text.plain``)."""

from collections.abc import Collection, Iterable, Sequence


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
    # Drawn here: loading rich's tables takes as long as all else that a small command does.
    widths = [width(column, head_width) for column in zip(head, *rows, strict=True)]
    names = [_folded(name, room) for name, room in zip(head, widths, strict=True)]
    rule = "+" + "+".join("-" * (room + 2) for room in widths) + "+"

    def line(cells: Iterable[str]) -> str:
        padded = (_padded(cell, room, n in left) for n, (cell, room) in enumerate(zip(cells, widths, strict=True)))
        return "| " + " | ".join(padded) + " |"

    height = max(map(len, names), default=0)
    heads = ([""] * (height - len(name)) + name for name in names)  # a short name stands on the rule below it
    lines = [rule, *map(line, zip(*heads, strict=True)), rule]
    for number, row in enumerate(rows, start=1):
        lines.append(line(row))
        if number == rule_after and number < len(rows):
            lines.append(rule)
    return "\n".join([*lines, rule, ""])


def _folded(name: str, room: int) -> list[str]:
    """The name in lines of ``room`` cells, broken at spaces; a word longer than a line is cut, with an ellipsis."""
    from rich.cells import cell_len, set_cell_size

    lines: list[str] = []
    for word in name.split():
        if lines and cell_len(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word if cell_len(word) <= room else set_cell_size(word, room - 1) + "…")
    return lines


def _padded(cell: str, room: int, is_left: bool) -> str:
    from rich.cells import cell_len

    space = " " * (room - cell_len(cell))
    return cell + space if is_left else space + cell


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


def folded(text: str, room: int, indent: str = "") -> list[str]:
    """The text in lines of at most ``room`` terminal cells, broken at spaces, and inside of words that are longer.

    Args:
        text: one line.
        room: cells in a line, more than ``indent`` and one wide character take.
        indent: begins every line but the first.
    """
    from rich.cells import cell_len, chop_cells

    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
        if cell_len(joined) <= room:
            lines[-1] = joined
            continue
        if lines[-1].strip():
            lines.append(indent)
        first, *others = chop_cells(word, room - len(indent))
        lines[-1] += first
        lines += [indent + part for part in others]
    return lines


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds, "1:02:03"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:d}:{minutes:02d}:{seconds:02d}"
