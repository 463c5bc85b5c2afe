"""The report's curves, the nulls beside them, and published figures."""

from esprobe.report.markdown_table import markdown_table
from esprobe.report.notes_text import null_description
from esprobe.report.passk_table import (
    baseline_lines,
    note_lines,
    same_problems_columns,
    value_columns,
    why_lines,
)
from esprobe.report.text import TARGETS
from esprobe.results.results import Results
from esprobe.safe_text import markdown


def curves_section(results: Results) -> list[str]:
    """Baselines, the table of pass@k with its notes, the same for a fixed set of problems, and the nulls."""
    if not results.conditions:
        return []
    level = f"{100 * results.conditions[0].curve.level:g} %"
    lines = [f"Share of problems solved at least once in k rollouts, with {level} intervals."]
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
            f"These intervals are for {TARGETS['problems like these']}. For the {TARGETS['these problems']}, if only "
            "the rollouts were sampled again:",
            "",
            *markdown_table(list(zip(*same, strict=True))),
        ]
        if why := why_lines([r.same_problems for r in results.sampled]):
            lines += ["", *(f"- {line}" for line in why)]
    return [*lines, *_null_lines(results)]


def _null_lines(results: Results) -> list[str]:
    if not results.nulls:
        return []
    nulls = [f"- {markdown(null.label)}: {markdown(null_description(null))}" for null in results.nulls]
    return ["", "What needs no model at all; a condition whose curve lies below does worse than that:", "", *nulls]


def published_section(results: Results) -> list[str]:
    """Published figures about the task."""
    if not results.published:
        return []
    lines = ["Not measured here: rounded shares of problems solved, each of the model that it names."]
    models = {r.condition.model for r in results.conditions}
    if not models & {point.model for point in results.published}:
        lines.append("No condition of this report uses such a model by that name, so they are background only.")
    rows = [("model", "method", "solved")]
    rows += [(markdown(p.model), markdown(p.method), f"about {100 * p.estimate:g} %") for p in results.published]
    return [*lines, "", *markdown_table(rows)]
