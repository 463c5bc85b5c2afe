"""The report's comparisons: every pair, every condition against guessing, and the overlap of solved problems."""

from collections.abc import Sequence

from esprobe.report.compare_text import band_sentence, overlap_rows, overlap_sentence
from esprobe.report.markdown_table import markdown_table
from esprobe.report.text import count, p_value, points, points_between, rate
from esprobe.results.detail import Comparison
from esprobe.results.results import Results
from esprobe.safe_text import markdown
from esprobe.spec import Kind
from esprobe.stats.difference import DifferencePoint
from esprobe.stats.verdict import PRIMARY_KS


def null_section(results: Results) -> list[str]:
    """Each condition against guessing, at every k."""
    if not results.against_null:
        return []
    lines = [
        "pass@k minus that of guessing on the same problems, in points. A condition whose difference is negative does "
        "worse than chance, however far its curve rises.",
        "",
    ]
    ks = sorted({p.k for pair in results.against_null for p in pair.difference.points})
    rows = [("condition", *map(count, ks))]
    for pair in results.against_null:
        by_k = {p.k: p for p in pair.difference.points}
        name = (
            markdown(pair.label_b) if len(results.nulls) == 1 else f"{markdown(pair.label_b)}, {markdown(pair.label_a)}"
        )
        rows.append((name, *(_difference(by_k[k]) if k in by_k else "n too small" for k in ks)))
    lines += markdown_table(rows)
    classes = [(null, group) for null in results.nulls for group in null.by_group]
    if len({group.group for _, group in classes}) > 1:
        head = ("guessing alone", *map(count, results.ks))
        by_class = [(markdown(group.group), *(rate(p.estimate) for p in group.curve.points)) for _, group in classes]
        lines += ["", *markdown_table([head, *by_class])]
    return lines


def pairs_section(results: Results) -> list[str]:
    """Every pair of conditions at the primary k, or at those of ``--k``."""
    pairs = [pair for pair in results.pairs if pair.difference.points]
    if not pairs:
        return []
    shown = _shown(pairs, results.asked_ks)
    lines = [
        "pass@k of B minus A in points, over the problems that both have, with 95 % intervals; p is adjusted by Holm "
        "for every pair and every k. The last column says where the band over all k at once leaves 0. "
        "`esprobe compare A B` prints one pair in full.",
        "",
    ]
    rows = [("A", "B", *(f"k = {k}" for k in shown), "smallest p (Holm)", "all k at once")]
    for pair in pairs:
        by_k = {p.k: p for p in pair.difference.points}
        adjusted = [p.p_holm for p in by_k.values() if p.p_holm is not None]
        rows.append(
            (
                markdown(pair.label_a),
                markdown(pair.label_b),
                *(_difference(by_k[k]) if k in by_k else "n too small" for k in shown),
                p_value(min(adjusted)) if adjusted else "none",
                (band_sentence(pair.difference) or "no band").removeprefix("All k at once, ").rstrip("."),
            )
        )
    return [*lines, *markdown_table(rows)]


def overlap_section(results: Results) -> list[str]:
    """The solved sets of the two arms, then of every pair of a temperature and a sigma."""
    if results.arms is None:
        return []
    lines = [overlap_sentence(results.arms, "any temperature", "any sigma above 0")]
    head = ("problems", "only A", "only B", "both", "neither")
    lines += ["", *markdown_table([head, *overlap_rows(results.arms, markdown)])]
    kinds = {c.id: c.kind for c in results.conditions}
    rows: list[tuple[str, ...]] = [("A", "B", *head[1:], "McNemar p")]
    for pair in results.pairs:
        if pair.a is None or pair.overlap is None or not _across_arms(kinds[pair.a], kinds[pair.b]):
            continue
        t = pair.overlap.total
        cells = (*map(count, (t.only_a, t.only_b, t.both, t.neither)), p_value(pair.overlap.mcnemar))
        rows.append((markdown(pair.label_a), markdown(pair.label_b), *cells))
    return [*lines, "", *markdown_table(rows)] if len(rows) > 1 else lines


def _across_arms(a: Kind, b: Kind) -> bool:
    """Whether one is a temperature and the other a perturbation."""
    return a is not b and a.parameter is not None and b.parameter is not None


def _shown(pairs: Sequence[Comparison], asked: Sequence[int] | None) -> list[int]:
    """The k of ``--k``; else the primary ones, and the largest of all if that is below 256."""
    known = {p.k for pair in pairs for p in pair.difference.points}
    if asked is not None:
        return sorted(known.intersection(asked))
    primary = known.intersection(PRIMARY_KS)
    return sorted(primary if PRIMARY_KS[-1] in known else {*primary, max(known)})


def _difference(point: DifferencePoint) -> str:
    around = points_between(point.ci_low, point.ci_high)
    return f"{points(point.estimate)} {around or f'({point.note})'}"
