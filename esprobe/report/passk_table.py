"""``passk`` as a table for a terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Callable, Sequence

from esprobe.report.markdown_table import markdown_table
from esprobe.report.notes_text import given_up_note, mixed_scorers_note, unavailable_task
from esprobe.report.text import NOTES, count, percent, plural, sentence, span
from esprobe.results.results import ConditionResult, Results
from esprobe.safe_text import csv_text, markdown, plain
from esprobe.spec import Condition
from esprobe.stats.curve import Curve
from esprobe.tables import boxed, width

COLUMNS = (
    "condition", "kind", "sigma", "temperature", "k", "estimate", "ci_low", "ci_high", "problems", "samples_min",
    "samples_max",
)  # fmt: skip

HEADER_WIDTH = 22
"""Longer column names are folded: model names can be long, values never are."""

Column = list[str]
"""A head, a value for each k, and the values of the closing rows."""


def as_table(results: Results, columns: int) -> str:
    """A table for people: k down, conditions across, in blocks that fit ``columns`` characters; ASCII but for names."""
    if not results.conditions:
        return f"{plain(results.task)}: nothing is stored yet\n"
    lines = [f"{plain(results.task)}: pass@k with {_level(results)} intervals, scored by {plain(results.scorer)}"]
    lines += baseline_lines(results, plain)
    keys, *values = value_columns(results, plain)
    blocks = [_block(keys, group, len(results.ks)) for group in _packed(keys, values, columns)]
    return "\n".join([*lines, "", *blocks, *note_lines(results, plain)]).rstrip("\n") + "\n"


def as_markdown(results: Results) -> str:
    """The same as a Markdown table, for a page or an issue."""
    if not results.conditions:
        return f"Nothing is stored yet for {markdown(results.task)}.\n"
    baselines = [f"- {line}" for line in baseline_lines(results, markdown)]
    columns = value_columns(results, markdown)
    table = markdown_table(list(zip(*columns, strict=True))) if len(columns) > 1 else []
    notes = [f"- {line}" for line in note_lines(results, markdown)]
    return "\n\n".join("\n".join(part) for part in (baselines, table, notes) if part) + "\n"


def as_csv(results: Results) -> str:
    """One line per condition and k; an empty field where there is no value."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results.conditions:
        given = result.condition
        for p in result.curve.points:
            row = (csv_text(results.labels[result.id]), result.kind, given.sigma, given.temperature, p.k, p.estimate)
            writer.writerow((*row, p.ci_low, p.ci_high, p.problems, result.samples_min, result.samples_max))
    return buffer.getvalue()


def baseline_lines(results: Results, escape: Callable[[str], str]) -> list[str]:
    """A sentence for each greedy baseline; ``escape`` makes labels safe to print."""
    lines = []
    for result in results.greedy:
        value = percent(result.curve.points[0]) if result.curve.points else "nothing stored yet"
        gap = f", {count(result.missing)} missing" if result.missing else ""
        problems = plural(result.problems, "problem")
        lines.append(f"{escape(results.labels[result.id])}: pass@1 {value}, {problems}{gap}")
    return lines


def value_columns(results: Results, escape: Callable[[str], str]) -> list[Column]:
    """The key column, then one for each sampled condition and each null; ``escape`` makes names safe to print."""
    closing: tuple[tuple[str, Callable[[ConditionResult], str]], ...] = (
        ("problems", lambda r: count(r.problems)),
        ("samples", lambda r: span(r.samples_min, r.samples_max)),
        ("missing", lambda r: "not known" if r.missing is None else count(r.missing)),
    )
    columns = [["k", *map(count, results.ks), *(name for name, _ in closing)]]
    for r in results.sampled:
        head = escape(results.labels[r.id])
        absent = "n too small" if r.problems else "nothing stored yet"
        columns.append([head, *_values(r.curve, results.ks, absent), *(word(r) for _, word in closing)])
    for null in results.nulls:
        problems = count(null.curve.points[0].problems) if null.curve.points else ""
        absent = "" if null.curve.points else "nothing stored yet"
        columns.append([escape(null.label), *_values(null.curve, results.ks, absent), problems, "exact", ""])
    return columns


def same_problems_columns(results: Results, escape: Callable[[str], str]) -> list[Column]:
    """The key column and one for each sampled condition, with intervals for the same problems."""
    columns = [["k", *map(count, results.ks)]]
    for r in results.sampled:
        absent = "n too small" if r.problems else "nothing stored yet"
        columns.append([escape(results.labels[r.id]), *_values(r.same_problems, results.ks, absent)])
    return columns


_SHARED = {
    "data_digest": "data",
    "prompt": "prompt style",
    "max_tokens": "max new tokens",
    "stop": "stop texts",
    "dtype": "dtype",
    "engine": "engine",
}
"""What conditions to compare should have in common, and its name in print."""


def note_lines(results: Results, escape: Callable[[str], str]) -> list[str]:
    """Why values have no interval, which tasks are not available, and what must not be compared."""
    curves = [c.curve for c in results.conditions] + [n.curve for n in results.nulls]
    unavailable = [escape(unavailable_task(task)) for task in results.unavailable_tasks]
    return why_lines(curves) + given_up_lines(results, escape) + unavailable + _mismatches(results, escape)


def given_up_lines(results: Results, escape: Callable[[str], str]) -> list[str]:
    """A sentence for each condition of which seeds will not be drawn."""
    return [
        f"{escape(results.labels[c.id])}: {escape(sentence(given_up_note(c.given_up)))}"
        for c in results.conditions
        if c.given_up is not None
    ]


def why_lines(curves: Sequence[Curve]) -> list[str]:
    """Why values have no interval, for the reasons that occur."""
    notes = {point.note for curve in curves for point in curve.points}
    return [f"({note}): no interval, because {why}." for note, why in NOTES.items() if note in notes]


def _mismatches(results: Results, escape: Callable[[str], str]) -> list[str]:
    """Differences other than the decoding, such as a forgotten option leaves between two arms."""
    conditions = results.conditions
    lines = []
    planned = {(c.extent.first_index, c.extent.stop_index) for c in conditions if c.extent is not None}
    if len({c.problems for c in conditions if c.problems}) > 1:
        lines.append("Conditions cover different numbers of problems: compare only those that cover the same ones.")
    elif len(planned) > 1:
        lines.append("Conditions cover different problems: compare only those that cover the same ones.")
    for key, words in _SHARED.items():
        # Rollouts made elsewhere come without a limit of tokens that is known: 0.
        values = dict.fromkeys(value for c in conditions if (value := _shared(c.condition, key)))
        if len(values) > 1:
            shown = " and ".join(escape(str(value)[:12]) for value in values)
            lines.append(f"Conditions differ in {words} ({shown}), so a gap between them may come from that.")
    if results.mixed_scorers is not None:
        lines.append(escape(sentence(mixed_scorers_note(results.mixed_scorers))))
    return lines


def _shared(condition: Condition, key: str) -> object:
    """The value of a key of ``_SHARED``."""
    if key == "stop":
        return " or ".join(map(repr, condition.stop or ())) or "none"
    return getattr(condition, key)


def _values(curve: Curve, ks: tuple[int, ...], absent: str) -> list[str]:
    points = {point.k: percent(point) for point in curve.points}
    return [points.get(k, absent) for k in ks]


def _level(results: Results) -> str:
    return f"{100 * results.conditions[0].curve.level:g} %"


def _packed(keys: Column, columns: list[Column], space: int) -> list[list[Column]]:
    """Columns in groups that fit beside the keys; at least one in each, however narrow the terminal."""
    groups: list[list[Column]] = []
    used = 0
    for column in columns:
        # A border and a space on either side of each cell.
        needed = width(column, HEADER_WIDTH) + 3
        if not groups or used + needed > space:
            groups.append([])
            used = width(keys, HEADER_WIDTH) + 4
        groups[-1].append(column)
        used += needed
    return groups


def _block(keys: Column, columns: list[Column], values: int) -> str:
    head, *rows = zip(keys, *columns, strict=True)
    return boxed(head, rows, left=range(1, len(head)), head_width=HEADER_WIDTH, rule_after=values)
