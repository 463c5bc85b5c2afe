"""``compare`` as a table for a terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Callable, Sequence

from esprobe.report.markdown_table import markdown_table
from esprobe.report.notes_text import pair_note
from esprobe.report.text import TARGETS, count, p_value, plural, points, points_between, rate, sentence, span
from esprobe.results.detail import Comparison
from esprobe.safe_text import csv_text, markdown, plain
from esprobe.stats.difference import Difference, DifferenceNote, DifferencePoint
from esprobe.stats.overlap import Overlap
from esprobe.tables import boxed

NOTES: dict[DifferenceNote, str] = {
    "one problem": "the variance between problems cannot be estimated from one",
    "one perturbation": "all problems share the single perturbation, so its variance cannot be estimated",
    "one rollout": "the variance between rollouts cannot be estimated from one per problem",
    "no spread": "the two differ by as much on every problem, so the variance cannot be estimated",
    "no luck": "the difference does not change if a draw is left out, so the variance cannot be estimated",
    "both fixed": "neither side varies if the same problems are sampled again",
}
"""Why a difference has no interval."""

HEAD = ("k", "A", "B", "B - A", "all k at once", TARGETS["these problems"], "p", "p (Holm)", "p (sign flips)")
COLUMNS = (
    "a", "b", "k", "pass_a", "pass_b", "difference", "ci_low", "ci_high", "band_low", "band_high", "these_low",
    "these_high", "p", "p_holm", "p_flip", "problems",
)  # fmt: skip


def as_table(comparison: Comparison) -> str:
    """For people at a terminal; ASCII but for names."""
    lines = [*_heading(comparison, plain), ""]
    body = boxed(HEAD, difference_rows(comparison)) if comparison.difference.points else ""
    tail = [*note_lines(comparison, plain)]
    text = "\n".join(lines) + "\n" + body + "".join(f"{line}\n" for line in tail)
    if comparison.overlap is not None:
        text += f"\n{overlap_sentence(comparison.overlap, plain(comparison.label_a), plain(comparison.label_b))}\n"
        text += boxed(("problems", "only A", "only B", "both", "neither"), overlap_rows(comparison.overlap, plain))
    return text


def as_markdown(comparison: Comparison) -> str:
    """The same for a page or an issue."""
    parts = [_heading(comparison, markdown)]
    if comparison.difference.points:
        parts.append(markdown_table([HEAD, *difference_rows(comparison)]))
    if notes := note_lines(comparison, markdown):
        parts.append([f"- {line}" for line in notes])
    if comparison.overlap is not None:
        labels = markdown(comparison.label_a), markdown(comparison.label_b)
        parts.append([overlap_sentence(comparison.overlap, *labels)])
        head = ("problems", "only A", "only B", "both", "neither")
        parts.append(markdown_table([head, *overlap_rows(comparison.overlap, markdown)]))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def as_csv(comparison: Comparison) -> str:
    """One line per k; an empty field where there is no value."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    names = csv_text(comparison.label_a), csv_text(comparison.label_b)
    for p, same in zip(comparison.difference.points, comparison.same_problems.points, strict=True):
        row = (p.k, p.a, p.b, p.estimate, p.ci_low, p.ci_high, p.band_low, p.band_high, same.ci_low, same.ci_high)
        writer.writerow((*names, *row, p.p, p.p_holm, p.p_flip, comparison.difference.problems))
    return buffer.getvalue()


def difference_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """A row for each k under ``HEAD``, in points of per cent."""
    both = zip(comparison.difference.points, comparison.same_problems.points, strict=True)
    return [_row(point, same) for point, same in both]


def overlap_rows(overlap: Overlap, escape: Callable[[str], str]) -> list[tuple[str, ...]]:
    """A row for each problem class and for all problems."""
    return [(escape(row.group), *map(count, (row.only_a, row.only_b, row.both, row.neither))) for row in overlap.rows]


def overlap_sentence(overlap: Overlap, a: str, b: str) -> str:
    """What the table below it counts, and McNemar's test of it."""
    drawn = span(*overlap.samples_a)
    if overlap.samples_a != overlap.samples_b:
        drawn = f"{drawn} (A) and {span(*overlap.samples_b)} (B)"
    return (
        f"Problems solved at least once in {drawn} rollouts by {a} (A) and {b} (B); McNemar's exact p "
        f"{p_value(overlap.mcnemar)}, which assumes independent problems."
    )


def note_lines(comparison: Comparison, escape: Callable[[str], str]) -> list[str]:
    """Notes on the comparison, and why intervals are missing."""
    lines = [sentence(escape(pair_note(note))) for note in comparison.notes]
    for difference in (comparison.difference, comparison.same_problems):
        for note in dict.fromkeys(point.note for point in difference.points if point.note is not None):
            lines.append(f"({note}): no interval for {TARGETS[difference.target]}, because {NOTES[note]}.")
    return lines


def _heading(comparison: Comparison, escape: Callable[[str], str]) -> list[str]:
    difference = comparison.difference
    head = f"A = {escape(comparison.label_a)}, B = {escape(comparison.label_b)}: pass@k of B minus A in points, over "
    head += f"{plural(difference.problems, 'problem')} that both have"
    lines = [head]
    if comparison.shared_seeds:
        lines.append("One seed is the same noise on both sides, so seeds are paired.")
    if (summary := band_sentence(difference)) is not None:
        lines.append(summary)
    return lines


def band_sentence(difference: Difference) -> str | None:
    """Where the band that covers all k at once lies wholly to one side of 0; None without a band."""
    banded = [p for p in difference.points if p.band_low is not None and p.band_high is not None]
    if not banded:
        return None
    above = [p.k for p in banded if p.band_low is not None and p.band_low > 0]
    below = [p.k for p in banded if p.band_high is not None and p.band_high < 0]
    if not above and not below:
        return "All k at once, neither is ahead anywhere."
    sides = [f"{name} is ahead at {_ks(ks)}" for name, ks in (("B", above), ("A", below)) if ks]
    return f"All k at once, {' and '.join(sides)}."


def _row(point: DifferencePoint, same: DifferencePoint) -> tuple[str, ...]:
    around = points_between(point.ci_low, point.ci_high) or f"({point.note})"
    return (
        count(point.k),
        rate(point.a),
        rate(point.b),
        f"{points(point.estimate)} {around}",
        points_between(point.band_low, point.band_high) or "none",
        points_between(same.ci_low, same.ci_high) or f"({same.note})",
        *("none" if p is None else p_value(p) for p in (point.p, point.p_holm, point.p_flip)),
    )


def _ks(ks: Sequence[int]) -> str:
    return "k = " + ", ".join(map(count, ks))
