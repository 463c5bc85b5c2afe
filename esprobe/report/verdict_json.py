"""The verdict and the selection in the report's JSON. Keys are a contract; attributes may have other names."""

from collections.abc import Sequence
from typing import Any

from esprobe.report.selection_text import line_label, selection_note
from esprobe.report.verdict_text import contrast_sentence, missing_clause, question, summary
from esprobe.stats.selection import Chosen, ReferenceLine, Selection
from esprobe.stats.verdict import ContrastResult, Verdict


def verdict_entry(verdict: Verdict) -> dict[str, Any]:
    """All contrasts, each as numbers and as a sentence."""
    return {
        "summary": summary(verdict),
        "primary": _contrasts(verdict.primary),
        "against_null": _contrasts(verdict.against_null),
        "against_greedy": _contrasts(verdict.against_greedy),
        "against_zero": _contrasts(verdict.against_zero),
        "missing": [missing_clause(reason) for reason in verdict.missing],
    }


def selection_entry(selection: Selection) -> dict[str, Any]:
    """All selections, with the lines to compare them with."""
    return {
        "seed": selection.seed,
        "perturbation": None if selection.perturbation is None else _chosen(selection.perturbation),
        "temperatures": [_chosen(chosen) for chosen in selection.temperatures],
        "sigmas": [_chosen(chosen) for chosen in selection.sigmas],
        "lines": [_line(line) for line in selection.lines],
        "notes": [selection_note(note) for note in selection.notes],
    }


def _contrasts(contrasts: Sequence[ContrastResult]) -> list[dict[str, Any]]:
    keys = ("k", "a", "b", "estimate", "ci_low", "ci_high", "p_holm", "outcome")
    return [
        {"question": question(contrast)}
        | {key: getattr(contrast, key) for key in keys}
        | {"sentence": contrast_sentence(contrast)}
        for contrast in contrasts
    ]


def _chosen(chosen: Chosen) -> dict[str, Any]:
    return {
        "condition": chosen.condition,
        "seed": chosen.seed,
        "k": chosen.k,
        "candidates": chosen.candidates,
        "selected_on": chosen.selected_on,
        "judged_on": chosen.judged_on,
        "looked": chosen.selection_score,
        "estimate": chosen.estimate,
        "ci_low": chosen.ci_low,
        "ci_high": chosen.ci_high,
        "average": chosen.mean,
        "optimism": chosen.optimism,
        "expected_optimism": chosen.expected_optimism,
    }


def _line(line: ReferenceLine) -> dict[str, Any]:
    return {
        "label": line_label(line),
        "estimate": line.estimate,
        "ci_low": line.ci_low,
        "ci_high": line.ci_high,
        "measured": line.measured,
    }
