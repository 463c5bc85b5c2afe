"""The report's answer: the verdict in words, and the best of many judged on problems no choice has seen."""

from esprobe.report.passk_table import markdown_table
from esprobe.report.text import count, markdown, p_value, plural, points
from esprobe.results.results import Results
from esprobe.stats.selection import Chosen, Selection

FEW_PROBLEMS = 100
"""Problems to judge on, below which intervals are rough."""


def verdict_section(results: Results) -> list[str]:
    """The verdict; nothing where none was asked for."""
    verdict = results.verdict
    if verdict is None:
        return []
    lines = ["## Verdict", "", markdown(verdict.summary), ""]
    lines.append(
        "By the rule of docs/statistics.md, fixed before any data were seen: the best temperature and the best sigma "
        "are chosen on one half of the problems and compared on the other at k = 1, 16 and 256."
    )
    selection = results.selection
    if selection is not None:
        judged = [c.judged_on for c in (*selection.temperatures, *selection.sigmas)]
        if judged:
            lines[-1] += f" The other half is {plural(max(judged), 'problem')}."
            if max(judged) < FEW_PROBLEMS:
                lines[-1] += " On so few, intervals and p are rough."
        lines += [line for note in selection.notes for line in ("", f"{markdown(note[0].upper() + note[1:])}.")]
    for title, findings in (
        ("The two arms", verdict.primary),
        ("Against guessing", verdict.against_null),
        ("Against greedy decoding of the unperturbed model", verdict.against_greedy),
        ("Against sigma 0, which is numerical noise alone", verdict.against_zero),
    ):
        if findings:
            lines += ["", f"{title}:", ""]
            lines += [f"- {markdown(f.sentence)}{_p(f.p_holm)}" for f in findings]
    if verdict.missing:
        lines += ["", "What could not be judged:", ""]
        lines += [f"- {markdown(line)}." for line in verdict.missing]
    return lines


def selection_section(results: Results) -> list[str]:
    """The best single perturbation and the best of each arm; nothing where none was chosen."""
    selection = results.selection
    if selection is None:
        return []
    lines = ["## The best of many, on problems it was not chosen on", ""]
    chosen = selection.perturbation
    lines += _single(results, chosen, selection) if chosen is not None else ["No single perturbation could be chosen."]
    rows = [("chosen among", "k", "winner", "looked", "is", "average", "optimism")]
    for arm, winners in (("temperatures", selection.temperatures), ("sigmas", selection.sigmas)):
        for c in winners:
            label = markdown(results.labels[c.condition])
            values = (_percent(c.looked), _judged(c), _percent(c.average), f"{points(c.optimism)} points")
            rows.append((f"{c.candidates} {arm}", count(c.k), label, *values))
    if len(rows) > 1:
        lines += ["", *markdown_table(rows)]
    return lines


def _single(results: Results, c: Chosen, selection: Selection) -> list[str]:
    label = markdown(results.labels[c.condition])
    expected = (
        ""
        if c.expected_optimism is None
        else (f"; {points(c.expected_optimism)} would be expected of a choice among equally good ones")
    )
    lines = [
        f"Of {count(c.candidates)} perturbations, seed {c.seed} of {label} solves most of the "
        f"{plural(c.selected_on, 'problem')} to choose on, {_percent(c.looked)}. On the other "
        f"{count(c.judged_on)}, decoded greedily, it solves **{_judged(c)}**; the average perturbation solves "
        f"{_percent(c.average)} of those. Optimism {points(c.optimism)} points{expected}.",
        "",
    ]
    rows = [("to read it against", "solved")]
    for line in selection.lines:
        around = "" if line.ci_low is None or line.ci_high is None else _between(line.ci_low, line.ci_high)
        about = "" if line.measured else "about "
        rows.append((markdown(line.label), f"{about}{_percent(line.estimate)}{around}"))
    return lines + markdown_table(rows) if len(rows) > 1 else lines


def _judged(c: Chosen) -> str:
    around = "" if c.ci_low is None or c.ci_high is None else _between(c.ci_low, c.ci_high)
    return _percent(c.estimate) + around


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _between(low: float, high: float) -> str:
    return f" [{100 * low:.1f}, {100 * high:.1f}]"


def _p(p: float | None) -> str:
    return "" if p is None else f" (p {p_value(p)}, Holm)"
