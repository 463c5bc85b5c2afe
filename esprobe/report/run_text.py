"""What ran: the setup, what is incomplete, lengths, intervals and provenance of a report."""

from collections.abc import Mapping
from typing import Any

from esprobe.records import SessionRecord
from esprobe.report.markdown_table import markdown_table
from esprobe.report.notes_text import given_up_note
from esprobe.report.text import TARGETS, count, plural, share, span
from esprobe.results.results import ConditionResult, Results
from esprobe.safe_text import markdown


def setup_section(results: Results) -> list[str]:
    """Task, model, prompt, decoding and noise of all conditions."""
    if not results.conditions:
        return []
    given = [r.condition for r in results.conditions]
    sampling = [c for c in given if c.kind.has_token_noise]
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
        "dtype": [c.dtype for c in given],
        "Engine": [c.engine for c in given],
        "Prompt": [f"{c.prompt}, digest {c.prompt_digest}" for c in given],
        "max new tokens": [count(c.max_tokens) for c in given if c.max_tokens],
        "Loops": ["ended early (--stop-loops)" if c.stop_loops else "left to run" for c in given]
        if any(c.stop_loops for c in given)
        else [],
        "Stop texts": [" or ".join(map(repr, c.stop)) if c.stop else "none" for c in given]
        if any(c.stop for c in given)
        else [],
        "Temperatures": [f"{c.temperature:g}" for c in sampling],
        "Top p": [f"{c.top_p:g}" for c in sampling if c.top_p is not None],
        "Top k": ["off" if c.top_k == -1 else str(c.top_k) for c in sampling if c.top_k is not None],
        "Sigmas": [f"{c.sigma:g}" for c in perturbed],
        "Noise": [c.noise or "iid" for c in perturbed],
        "scope": [c.scope or "all tensors" for c in perturbed],
    }
    table = [(name, "; ".join(dict.fromkeys(values))) for name, values in rows.items() if values]
    return markdown_table([("setting", "value"), *((name, markdown(value)) for name, value in table)])


def incomplete_section(results: Results) -> list[str]:
    """Planned rollouts that are not stored."""
    if not results.conditions:
        return []
    lines = [line for r in results.conditions if (line := _gap(results, r)) is not None]
    return lines or ["Every planned rollout is stored."]


def _gap(results: Results, result: ConditionResult) -> str | None:
    parts = []
    if result.missing is None or result.planned is None:
        parts.append(f"what was planned is not recorded, {plural(result.totals.rollouts, 'rollout')} are stored")
    elif result.missing:
        parts.append(f"{count(result.missing)} of {count(result.planned)} planned rollouts are missing")
        if result.extent is not None and result.problems < result.extent.problems:
            parts.append(f"{plural(result.extent.problems - result.problems, 'problem')} without any rollout")
    if result.given_up is not None:
        parts.append(given_up_note(result.given_up))
    if result.samples_min < result.samples_max:
        parts.append(
            f"problems have {span(result.samples_min, result.samples_max)} rollouts: each counts with its own "
            f"number, and k ends at {count(result.samples_min)}"
        )
    return f"- {markdown(results.labels[result.id])}: {'; '.join(parts)}." if parts else None


def length_section(results: Results) -> list[str]:
    """Tokens per rollout and the share that reached the token limit."""
    if not results.conditions:
        return []
    rows = [("condition", "rollouts", "correct", "tokens", "tokens per rollout", "cut off")]
    for r in results.conditions:
        t = r.totals
        mean = f"{t.tokens / t.rollouts:.1f}" if t.rollouts else "none yet"
        cells = (count(t.rollouts), share(t.correct, t.rollouts), count(t.tokens), mean, share(t.cut_off, t.rollouts))
        rows.append((markdown(results.labels[r.id]), *cells))
    words = "Rollouts that reached the token limit are cut off, and wrong unless the answer came before."
    return [words, "", *markdown_table(rows)]


def intervals_section(results: Results) -> list[str]:
    """How intervals are computed."""
    if not results.conditions:
        return []
    curve = results.conditions[0].curve
    return [
        f"They are for {TARGETS[curve.target]}, at {100 * curve.level:g} %: from the spread between problems for "
        "greedy and temperature conditions; for perturbations, which all problems share, from two-way clustering over "
        "problems and perturbations with a jackknife over perturbations (at k = n the one of k - 1); on the "
        "complementary log-log scale, with Student's t for as many degrees of freedom as there are problems (or "
        "perturbations, if those are fewer) less one.",
        "Where no problem is solved, or every one, the Clopper-Pearson bound for as many trials as there are problems "
        "(or perturbations, if those are fewer) stands instead.",
    ]


def provenance_section(results: Results) -> list[str]:
    """Every session with its outcome, versions and hardware."""
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
    lines = markdown_table(rows)
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
