"""The report's tables on single conditions: coverage, reliability, diversity, failures, votes, cost, extrapolation."""

from collections.abc import Callable

from esprobe.report.markdown_table import markdown_table
from esprobe.report.text import count, points, rate, share
from esprobe.results.detail import Detail
from esprobe.results.results import ConditionResult, Results
from esprobe.safe_text import markdown
from esprobe.stats.cost import CostMatched
from esprobe.stats.cover import TAUS

SHOWN_TAUS = (0.01, 0.05, 0.1, 0.2, 0.5, 0.9)
"""A choice of ``TAUS`` that fits a page."""

Cell = Callable[[Detail], str]


def depth_section(results: Results) -> list[str]:
    """Coverage against depth, cover@tau, effective draws and diversity."""
    if not _detailed(results):
        return []
    lines = [
        "Coverage is the share of problems solved at least once in all rollouts, depth the mean share of correct "
        "rollouts among those. Effective draws are the number of independent draws with as much information, from "
        "the mean correlation of verdicts over pairs of draws. Distinct answers are counted among the first correct "
        "rollouts of each problem, as many for every condition.",
        "",
    ]
    columns: tuple[tuple[str, Cell], ...] = (
        ("coverage", lambda d: rate(d.counts.coverage)),
        ("depth", lambda d: rate(d.counts.depth)),
        ("correlation", lambda d: _number(d.independence.correlation if d.independence else None, 3)),
        ("effective draws", lambda d: _number(d.independence.effective if d.independence else None, 1)),
        ("distinct correct answers", lambda d: _number(d.diversity.mean_distinct, 2)),
        ("repeats among correct", lambda d: rate(d.diversity.duplicate_share)),
    )
    lines += _table(results, columns)
    lines += [
        "",
        "Share of problems whose chance of a correct rollout is at least tau, the noise of counts taken out; none "
        "where nothing can be fitted, because every rollout is right, none is, or a problem has a single one:",
    ]
    taus = [TAUS.index(tau) for tau in SHOWN_TAUS]
    heads = [f"tau = {tau:g}" for tau in SHOWN_TAUS]
    covers = tuple((head, _cover(position)) for head, position in zip(heads, taus, strict=True))
    return [*lines, "", *_table(results, covers, sampled=True)]


def taxonomy_section(results: Results) -> list[str]:
    """Correct rollouts, failures by reason, and the format bonus against the answer."""
    found = _detailed(results)
    if not found:
        return []
    words = list(dict.fromkeys(fate.word for _, detail in found for fate in detail.taxonomy.fates))
    columns: tuple[tuple[str, Cell], ...] = tuple((markdown(word), _fate(word)) for word in words)
    lines = _table(results, columns)
    bonuses = sorted({cell.bonus for _, detail in found for cell in detail.taxonomy.formats}, reverse=True)
    lines += ["", "Format against answer: share of rollouts by reward beyond the answer's own, right / wrong:", ""]
    return [*lines, *_table(results, tuple((f"{bonus:g}", _formats(bonus)) for bonus in bonuses))]


def vote_section(results: Results) -> list[str]:
    """Majority vote at its own k."""
    votes = [(r, r.detail.vote) for r in results.sampled if r.detail is not None and r.detail.vote is not None]
    ks = sorted({point.k for _, vote in votes for point in vote.points})
    if not ks:
        return []
    lines = [
        "The chance that the most common value of k rollouts is right; rollouts without a value do not vote, and ties "
        "count in part. Secondary for tasks whose answers can be checked, because there pass@k can be deployed. Empty "
        "for conditions with fewer rollouts, or with correct ones whose answers were not recorded; without an interval "
        "if the rollouts make fewer than three groups of k.",
        "",
    ]
    rows = [("condition", "no value", *map(count, ks))]
    for result, vote in votes:
        by_k = {p.k: p for p in vote.points}
        cells = []
        for k in ks:
            p = by_k.get(k)
            cells.append("" if p is None else rate(p.estimate, p.ci_low, p.ci_high))
        rows.append((markdown(results.labels[result.id]), rate(vote.without_value), *cells))
    return [*lines, *markdown_table(rows)]


def cost_section(results: Results) -> list[str]:
    """What a rollout costs, and pass@k at equal cost."""
    found = _detailed(results)
    if not found:
        return []
    columns: tuple[tuple[str, Cell], ...] = (
        ("tokens per rollout", lambda d: _number(d.cost.tokens_per_rollout, 1)),
        ("engine-seconds per 1,000 rollouts", lambda d: _number(_thousand(d.cost.seconds_per_rollout), 2)),
        ("switching weights adds", lambda d: _number(_thousand(d.cost.switch_seconds_per_rollout), 2)),
    )
    lines = _table(results, columns)
    for matched in results.cost_matched:
        lines += [
            "",
            f"pass@k where every condition may spend the same {matched.unit} on a problem, with its k "
            "(between whole numbers: some problems have one rollout more):",
            "",
        ]
        lines += _matched(results, matched)
    return lines


def extrapolation_section(results: Results) -> list[str]:
    """Forecasts beyond n beside the method's error on the data themselves."""
    found = [(r, r.detail.extrapolation) for r in results.sampled if r.detail is not None and r.detail.extrapolation]
    fitted = [(r, e) for r, e in found if e.fit is not None]
    if not found:
        return []
    lines = [
        "By a zero-inflated beta-binomial fitted to the counts. The error is the same method's, fitted on the first "
        "quarter of the rollouts, against what all of them show: read the forecasts by it.",
        "",
    ]
    rows = [("condition", "never solved (fit)", "forecasts", "error on the data")]
    for result, e in fitted:
        assert e.fit is not None
        forecasts = "; ".join(f"pass@{count(f.k)} {rate(f.estimate, f.ci_low, f.ci_high)}" for f in e.forecasts)
        errors = "; ".join(f"pass@{count(v.k)} {points(v.error)} points" for v in e.validations) or "none"
        rows.append((markdown(results.labels[result.id]), rate(e.fit.never), forecasts, errors))
    lines += markdown_table(rows) if fitted else []
    absent = [f"- {markdown(results.labels[r.id])}: no forecast, {e.note}." for r, e in found if e.note is not None]
    return [*lines, *([""] if fitted and absent else []), *absent]


def _matched(results: Results, matched: CostMatched) -> list[str]:
    rows = [(matched.unit, *(markdown(results.labels[i]) for i in matched.conditions))]
    for budget in matched.budgets:
        cells = [
            "none fits" if k is None or value is None else f"{rate(value)} (k = {k:,.3g})"
            for k, value in zip(budget.ks, budget.estimates, strict=True)
        ]
        rows.append((f"{budget.amount:,.3g}" if budget.amount < 100 else f"{budget.amount:,.0f}", *cells))
    return markdown_table(rows)


def _detailed(results: Results) -> list[tuple[ConditionResult, Detail]]:
    return [(r, r.detail) for r in results.conditions if r.detail is not None and r.problems]


def _table(results: Results, columns: tuple[tuple[str, Cell], ...], *, sampled: bool = False) -> list[str]:
    rows: list[tuple[str, ...]] = [("condition", *(name for name, _ in columns))]
    for result, detail in _detailed(results):
        if not (sampled and not result.kind.is_sampled):
            rows.append((markdown(results.labels[result.id]), *(cell(detail) for _, cell in columns)))
    return markdown_table(rows)


def _cover(position: int) -> Cell:
    def cell(detail: Detail) -> str:
        return rate(detail.cover[position].estimate)

    return cell


def _fate(word: str) -> Cell:
    def cell(detail: Detail) -> str:
        rollouts = sum(fate.rollouts for fate in detail.taxonomy.fates if fate.word == word)
        return share(rollouts, detail.taxonomy.rollouts)

    return cell


def _formats(bonus: float) -> Cell:
    def cell(detail: Detail) -> str:
        taxonomy = detail.taxonomy
        right, wrong = (
            sum(c.rollouts for c in taxonomy.formats if c.bonus == bonus and c.correct is verdict)
            for verdict in (True, False)
        )
        return f"{share(right, taxonomy.rollouts)} / {share(wrong, taxonomy.rollouts)}"

    return cell


def _number(value: float | None, decimals: int) -> str:
    return "none" if value is None else f"{value:,.{decimals}f}"


def _thousand(value: float | None) -> float | None:
    return None if value is None else 1000 * value
