"""The full report as Markdown: what ran, what came out, what is incomplete, and what it ran on."""

from collections.abc import Mapping, Sequence
from typing import Any

from esprobe.records import SessionRecord
from esprobe.report.charts.model import Figure
from esprobe.report.contrast_text import null_section, overlap_section, pairs_section
from esprobe.report.detail_text import (
    cost_section,
    depth_section,
    extrapolation_section,
    taxonomy_section,
    vote_section,
)
from esprobe.report.passk_table import (
    baseline_lines,
    markdown_table,
    note_lines,
    same_problems_columns,
    value_columns,
    why_lines,
)
from esprobe.report.pictures import picture_lines
from esprobe.report.placing import placed
from esprobe.report.text import count, markdown, plural, share, span
from esprobe.report.verdict_text import selection_section, verdict_section
from esprobe.results.results import ConditionResult, Results
from esprobe.spec import Kind


def as_report(results: Results, pictured: Sequence[Figure] = (), stem: str = "") -> str:
    """The report, ending in a line break.

    Args:
        results: all numbers.
        pictured: figures to show, whose picture files lie beside the report.
        stem: the report's file name without its ending, with which the pictures' names begin.
    """
    parts = []
    for section, under in placed(sections(results), pictured):
        pictures = [line for figure in under for line in picture_lines(stem, figure)]
        parts.append([section[0], "", *pictures, *section[2:]] if pictures else section)
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def sections(results: Results) -> list[list[str]]:
    """The report's parts, each a list of lines that begins with its heading; those without content are left out."""
    parts = [
        ["# pass@k on " + markdown(results.task)],
        verdict_section(results),
        _setup(results),
        _curves(results),
        _nulls(results),
        null_section(results),
        selection_section(results),
        pairs_section(results),
        overlap_section(results),
        depth_section(results),
        taxonomy_section(results),
        vote_section(results),
        cost_section(results),
        extrapolation_section(results),
        _published(results),
        _incomplete(results),
        _lengths(results),
        _intervals(results),
        _provenance(results),
    ]
    headed: list[list[str]] = []
    for part in filter(None, parts):
        if part[0].startswith("#"):
            headed.append(part)
        else:
            headed[-1] = [*headed[-1], "", *part]
    return headed


def _setup(results: Results) -> list[str]:
    if not results.conditions:
        return ["Nothing is stored yet."]
    given = [r.condition for r in results.conditions]
    sampling = [c for c in given if c.kind is Kind.TEMPERATURE]
    perturbed = [c for c in given if c.kind.shares_noise]
    extents = [r.extent for r in results.conditions if r.extent is not None]
    seeds = [r.extent for r in results.sampled if r.extent is not None]
    rows = {
        "Task": [results.task],
        "Scorer": [results.scorer],
        "Data digest": [c.data_digest for c in given],
        "Problem indices": [
            f"{e.first_index} to {e.stop_index - 1} ({plural(e.problems, 'problem')})" for e in extents
        ],
        "Seeds": [f"{e.first_seed} to {e.first_seed + e.samples - 1}" for e in seeds],
        "Model": [f"{c.model}, fingerprint {c.model_fingerprint}" for c in given],
        "Number type": [c.dtype for c in given],
        "Engine": [c.engine for c in given],
        "Prompt": [f"{c.prompt}, digest {c.prompt_digest}" for c in given],
        "Most new tokens": [count(c.max_tokens) for c in given if c.max_tokens],
        "Loops": ["ended early (--stop-loops)" if c.stop_loops else "left to run" for c in given]
        if any(c.stop_loops for c in given)
        else [],
        "Temperatures": [f"{c.temperature:g}" for c in sampling],
        "Top p": [f"{c.top_p:g}" for c in sampling if c.top_p is not None],
        "Top k": ["off" if c.top_k == -1 else str(c.top_k) for c in sampling if c.top_k is not None],
        "Sigmas": [f"{c.sigma:g}" for c in perturbed],
        "Noise": [c.noise or "iid" for c in perturbed],
        "Perturbed tensors": [c.scope or "all" for c in perturbed],
    }
    table = [(name, "; ".join(dict.fromkeys(values))) for name, values in rows.items() if values]
    return [
        "## Setup",
        "",
        *markdown_table([("setting", "value"), *((name, markdown(value)) for name, value in table)]),
    ]


def _curves(results: Results) -> list[str]:
    if not results.conditions:
        return []
    lines = ["## pass@k", ""]
    level = f"{100 * results.conditions[0].curve.level:g} %"
    lines.append(f"Share of problems solved at least once in k rollouts, with {level} intervals.")
    if results.greedy:
        lines += ["", "Greedy baselines:", ""]
        lines += [f"- {line}" for line in baseline_lines(results, markdown)]
    columns = value_columns(results, markdown)
    if len(columns) > 1:
        lines += ["", *markdown_table(list(zip(*columns, strict=True)))]
    if notes := note_lines(results, markdown):
        lines += ["", *(f"- {line}" for line in notes)]
    same = same_problems_columns(results, markdown)
    if len(same) > 1 and results.ks:
        lines += [
            "",
            "These intervals speak about problems like these. About these very problems, had only their rollouts been "
            "drawn again:",
            "",
            *markdown_table(list(zip(*same, strict=True))),
        ]
        if why := why_lines([r.same_problems for r in results.sampled]):
            lines += ["", *(f"- {line}" for line in why)]
    return lines


def _nulls(results: Results) -> list[str]:
    if not results.nulls:
        return []
    lines = ["What needs no model at all; a condition whose curve lies below does worse than that:", ""]
    return lines + [f"- {markdown(null.label)}: {markdown(null.description)}" for null in results.nulls]


def _published(results: Results) -> list[str]:
    if not results.published:
        return []
    lines = ["## Published points to compare with", ""]
    lines.append("Not measured here: rounded shares of problems solved, each of the model that it names.")
    models = {r.condition.model for r in results.conditions}
    if not models & {point.model for point in results.published}:
        lines.append("No condition of this report uses such a model by that name, so they are background only.")
    rows = [("model", "method", "solved")]
    rows += [(markdown(p.model), markdown(p.method), f"about {100 * p.estimate:g} %") for p in results.published]
    return [*lines, "", *markdown_table(rows)]


def _incomplete(results: Results) -> list[str]:
    if not results.conditions:
        return []
    lines = [line for r in results.conditions if (line := _gap(results, r)) is not None]
    return ["## What is incomplete", "", *(lines or ["Every planned rollout is stored."])]


def _gap(results: Results, result: ConditionResult) -> str | None:
    parts = []
    if result.missing is None or result.planned is None:
        parts.append(f"what was planned is not recorded, {plural(result.totals.rollouts, 'rollout')} are stored")
    elif result.missing:
        parts.append(f"{count(result.missing)} of {count(result.planned)} planned rollouts are missing")
        if result.extent is not None and result.problems < result.extent.problems:
            parts.append(f"{plural(result.extent.problems - result.problems, 'problem')} without any rollout")
    if result.samples_min < result.samples_max:
        parts.append(
            f"problems have {span(result.samples_min, result.samples_max)} rollouts: each counts with its own "
            f"number, and k ends at {count(result.samples_min)}"
        )
    return f"- {markdown(results.labels[result.id])}: {'; '.join(parts)}." if parts else None


def _lengths(results: Results) -> list[str]:
    if not results.conditions:
        return []
    rows = [("condition", "rollouts", "correct", "tokens", "tokens per rollout", "cut off")]
    for r in results.conditions:
        t = r.totals
        mean = f"{t.tokens / t.rollouts:.1f}" if t.rollouts else "none yet"
        cells = (count(t.rollouts), share(t.correct, t.rollouts), count(t.tokens), mean, share(t.cut_off, t.rollouts))
        rows.append((markdown(results.labels[r.id]), *cells))
    words = "Rollouts that reached the token limit are cut off, and wrong unless the answer came before."
    return ["## Length and cut-off", "", words, "", *markdown_table(rows)]


def _intervals(results: Results) -> list[str]:
    if not results.conditions:
        return []
    curve = results.conditions[0].curve
    lines = [
        "## How intervals were made",
        "",
        f"They speak about {curve.target}, at {100 * curve.level:g} %: from the spread between problems for greedy "
        "and temperature conditions; for perturbations, which all problems share, from two-way clustering over "
        "problems and perturbations with a jackknife over perturbations (at k = n the one of k - 1); on the "
        "complementary log-log scale, with Student's t for as many degrees of freedom as there are problems (or "
        "perturbations, if those are fewer) less one.",
        "Where no problem is solved, or every one, the Clopper-Pearson bound for as many trials as there are problems "
        "(or perturbations, if those are fewer) stands instead.",
    ]
    return lines


def _provenance(results: Results) -> list[str]:
    if not results.sessions:
        return []
    rows: list[tuple[str, ...]] = [
        ("session", "command", "started (UTC)", "ended (UTC)", "outcome", "rollouts", "tokens")
    ]
    places: dict[str, list[int]] = {}
    for s in results.sessions:
        ended, outcome = s.ended_utc or "not recorded", s.outcome or "killed or still running"
        rows.append(
            (str(s.id), *map(markdown, (s.command, s.started_utc, ended, outcome)), count(s.rollouts), count(s.tokens))
        )
        places.setdefault(_place(s), []).append(s.id)
    lines = ["## Provenance", "", *markdown_table(rows)]
    for place, ids in places.items():
        lines += ["", f"{'Session' if len(ids) == 1 else 'Sessions'} {', '.join(map(str, ids))}:", "", place]
    return lines


def _place(session: SessionRecord) -> str:
    """What a session ran with, the same text for every session that ran with the same."""
    facts = {
        "scorer": session.scorer,
        "host": session.host,
        "versions": _pairs(session.versions),
        "hardware": _pairs(session.hardware),
        "engine": _pairs(session.engine),
    }
    return "\n".join(f"- {name}: {markdown(value or 'not recorded')}" for name, value in facts.items())


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
