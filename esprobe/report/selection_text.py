"""The best perturbation and the best conditions of each arm, on held-out problems, in words and as a table."""

from esprobe.report.markdown_table import markdown_table
from esprobe.report.text import count, plural, points, rate
from esprobe.results.results import Results
from esprobe.safe_text import markdown
from esprobe.stats.selection import (
    Chosen,
    NarrowConditions,
    NoGreedyBaseline,
    OneModelOnly,
    ProblemsNotShared,
    ReferenceLine,
    Selection,
    SelectionNote,
    TooFewPerturbations,
    TooFewProblems,
)


def selection_section(results: Results) -> list[str]:
    """The best single perturbation, then a table of the best of each arm; nothing without a selection."""
    selection = results.selection
    if selection is None:
        return []
    chosen = selection.perturbation
    lines = _single(results, chosen, selection) if chosen is not None else ["No single perturbation could be selected."]
    rows = [("candidates", "k", "winner", "selection half", "held-out half", "mean", "optimism")]
    for arm, winners in (("temperatures", selection.temperatures), ("sigmas", selection.sigmas)):
        for c in winners:
            held_out = rate(c.estimate, c.ci_low, c.ci_high)
            values = (rate(c.selection_score), held_out, rate(c.mean), f"{points(c.optimism)} points")
            rows.append((f"{c.candidates} {arm}", count(c.k), markdown(results.labels[c.condition]), *values))
    return [*lines, "", *markdown_table(rows)] if len(rows) > 1 else lines


def _single(results: Results, c: Chosen, selection: Selection) -> list[str]:
    expected = (
        ""
        if c.expected_optimism is None
        else f"; {points(c.expected_optimism)} are expected of a selection among equally good ones"
    )
    lines = [
        f"Of {count(c.candidates)} perturbations, seed {c.seed} of {markdown(results.labels[c.condition])} solves most "
        f"of the selection half ({plural(c.selected_on, 'problem')}), {rate(c.selection_score)}. On the held-out half "
        f"({plural(c.judged_on, 'problem')}), decoded greedily, it solves "
        f"**{rate(c.estimate, c.ci_low, c.ci_high)}**; the mean perturbation solves {rate(c.mean)} of those. Optimism "
        f"{points(c.optimism)} points{expected}.",
        "",
    ]
    rows = [("compare with", "solved")]
    for line in selection.lines:
        about = "" if line.measured else "about "
        rows.append((markdown(line_label(line)), f"{about}{rate(line.estimate, line.ci_low, line.ci_high)}"))
    return lines + markdown_table(rows) if len(rows) > 1 else lines


def line_label(line: ReferenceLine) -> str:
    """How tables, figures and JSON name a reference line."""
    if line.measured:
        return f"greedy baseline, {line.model}, the same problems"
    return f"{line.method}, {line.model}, published"


def selection_note(note: SelectionNote) -> str:
    """What was left out or could not be selected, without a full stop."""
    match note:
        case OneModelOnly(model, dtype, max_tokens):
            return (
                f"chosen among conditions of {model} ({dtype}, up to {max_tokens} tokens) alone; name others with "
                "--condition to choose among them"
            )
        case NarrowConditions(labels):
            return f"drawn on less than half of the problems of its arm's widest, and left out: {', '.join(labels)}"
        case ProblemsNotShared(problems):
            return f"{problems} problems that not every condition has are left out"
        case NoGreedyBaseline():
            return (
                "no greedy baseline over these problems is among these conditions, so nothing here says what the "
                "unperturbed model does"
            )
        case TooFewProblems(problems):
            return too_few_problems(problems)
        case TooFewPerturbations():
            return "fewer than two perturbations have met every problem, so there is none to choose"


def too_few_problems(problems: int) -> str:
    """Why problems cannot be split in two halves."""
    are = "problem is" if problems == 1 else "problems are"
    return f"{problems} {are} too few to choose on some and judge on others"
