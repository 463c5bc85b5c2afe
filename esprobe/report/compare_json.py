"""``compare --format json``, and the same entries in the report's JSON."""

from typing import Any

from esprobe.report.notes_text import pair_note
from esprobe.report.passk_json import SCHEMA, dump
from esprobe.results.detail import Comparison
from esprobe.stats.difference import Difference
from esprobe.stats.overlap import Overlap


def as_json(comparison: Comparison) -> str:
    """One comparison as a document; no value is ever NaN."""
    return dump({"schema": SCHEMA} | comparison_entry(comparison))


def comparison_entry(comparison: Comparison) -> dict[str, Any]:
    """One comparison; ``a`` is null where ``label_a`` names a null."""
    return {
        "a": comparison.a,
        "b": comparison.b,
        "label_a": comparison.label_a,
        "label_b": comparison.label_b,
        "shared_seeds": comparison.shared_seeds,
        "differences": [difference_entry(d) for d in (comparison.difference, comparison.same_problems)],
        "overlap": None if comparison.overlap is None else overlap_entry(comparison.overlap),
        "notes": [pair_note(note) for note in comparison.notes],
    }


def difference_entry(difference: Difference) -> dict[str, Any]:
    """One target's differences."""
    keys = (
        *("k", "a", "b", "estimate", "ci_low", "ci_high", "band_low", "band_high", "p", "p_holm", "p_flip"),
        "note",
    )
    return {
        "target": difference.target,
        "level": difference.level,
        "problems": difference.problems,
        "points": [{key: getattr(point, key) for key in keys} for point in difference.points],
    }


def overlap_entry(overlap: Overlap) -> dict[str, Any]:
    """The solved sets, as counts and as problem indices."""
    return {
        "samples_a": list(overlap.samples_a),
        "samples_b": list(overlap.samples_b),
        "mcnemar": overlap.mcnemar,
        "rows": [
            {"group": r.group, "only_a": r.only_a, "only_b": r.only_b, "both": r.both, "neither": r.neither}
            for r in overlap.rows
        ],
        "problems": {name: list(getattr(overlap, name)) for name in ("only_a", "only_b", "both", "neither")},
    }
