"""pass@k in bars, correct counts, coverage against depth, and cover@tau."""

from esprobe.report.charts.curves import NOTHING, SHARE
from esprobe.report.charts.model import Axis, Chart, Choice, Figure, Series
from esprobe.report.charts.style import styles
from esprobe.report.text import count, percent, plural, share, within
from esprobe.results.detail import Detail
from esprobe.results.results import ConditionResult, Results
from esprobe.stats.verdict import PRIMARY_KS


def bars(results: Results) -> Figure:
    """pass@k of every condition at the primary k, and at the largest that all have."""
    wanted = {*PRIMARY_KS, _largest_common(results)}
    looks, series = styles(results), []
    for r in results.conditions:
        points = [p for p in r.curve.points if p.k in wanted]
        if points:
            label = results.labels[r.id]
            made = Series(
                label=label,
                style=looks[r.id],
                x=tuple(f"k = {count(p.k)}" for p in points),
                y=tuple(p.estimate for p in points),
                low=tuple(p.ci_low for p in points),
                high=tuple(p.ci_high for p in points),
                words=tuple(f"{label}, k = {count(p.k)}: {percent(p)}" for p in points),
                condition=r.id,
            )
            series.append(made)
    # The first series decides the order of words on the axis, so a baseline, which has k = 1 only, comes last.
    series.sort(key=lambda s: -len(s.x))
    return Figure(
        name="summary",
        title="pass@k in bars",
        reading="The same values at a few k. A greedy baseline has one rollout per problem, so k = 1 only.",
        charts={(): Chart(x=Axis("", "category"), y=SHARE, kind="bars", series=tuple(series), absent=_absent(series))},
    )


def counts(results: Results) -> Figure:
    """How many problems have how many correct rollouts."""
    found = [(r, r.detail) for r in results.sampled if r.detail is not None and r.detail.counts.problems]
    every = [_counted(results, r, detail, with_unsolved=True) for r, detail in found]
    solved = [_counted(results, r, detail, with_unsolved=False) for r, detail in found if detail.counts.solved]
    x, y = Axis("correct rollouts of a problem", "category"), Axis("problems", percent=True)
    no_solved = _absent(every) or "No condition solves any problem, so there are no solved problems to count."
    return Figure(
        name="correct-counts",
        title="How often problems are solved",
        reading="Share of problems by the share of their rollouts that is correct. pass@k at a large k counts a "
        "problem that is solved once like one that is always solved; this tells them apart.",
        charts={
            (0,): Chart(x=x, y=y, kind="bars", series=tuple(every), absent=_absent(every)),
            (1,): Chart(x=x, y=y, kind="bars", series=tuple(solved), absent="" if solved else no_solved),
        },
        choices=(Choice("Problems", ("all", "those solved at least once")),),
        filed=((0,),),
    )


def depth(results: Results) -> Figure:
    """Coverage against depth, one point for each condition."""
    looks, series = styles(results), []
    for r in results.conditions:
        if r.detail is not None and r.detail.counts.coverage is not None and r.detail.counts.depth is not None:
            label, made = results.labels[r.id], r.detail.counts
            words = (
                f"{label}: {share(made.solved, made.problems)} of problems solved in {count(r.samples_max)} "
                f"rollouts, {within(r.detail.counts.depth, None, None)} of those problems' rollouts correct"
            )
            series.append(
                Series(
                    label=label,
                    style=looks[r.id],
                    x=(r.detail.counts.depth,),
                    y=(r.detail.counts.coverage,),
                    words=(words,),
                    texts=(label,),
                    condition=r.id,
                )
            )
    x = Axis("depth: mean share of correct rollouts among solved problems", percent=True)
    absent = _absent(series) if not any(r.problems for r in results.conditions) else "No condition solves any problem."
    return Figure(
        name="coverage-depth",
        title="Coverage against depth",
        reading="Up: more problems are solved at least once. Right: those are solved more often. Conditions with more "
        "rollouts per problem stand higher for that alone.",
        charts={
            (): Chart(
                x=x,
                y=Axis("coverage: problems solved at least once", percent=True),
                kind="points",
                series=tuple(series),
                absent="" if series else absent,
            )
        },
    )


def cover(results: Results) -> Figure:
    """cover@tau of every sampled condition, as observed and with the noise of counts taken out."""
    looks = styles(results)
    observed: list[Series] = []
    estimated: list[Series] = []
    for r in results.sampled:
        label = results.labels[r.id]
        points = () if r.detail is None else r.detail.cover
        for made, of in ((observed, "observed"), (estimated, "estimate")):
            values = [(p.tau, value) for p in points if (value := getattr(p, of)) is not None]
            if values:
                words = tuple(f"{label}, tau = {tau:g}: {within(value, None, None)}" for tau, value in values)
                taus, shares = zip(*values, strict=True)
                made.append(Series(label=label, style=looks[r.id], x=taus, y=shares, words=words, condition=r.id))
    x, y = Axis("tau, least chance of a correct rollout", percent=True), Axis("problems", percent=True)
    options = [("as observed, c/n", observed)]
    if estimated:  # what it opens on
        options.insert(0, ("with the noise of counts taken out", estimated))
    return Figure(
        name="cover-at-tau",
        title="cover@tau",
        reading="Share of problems whose chance of a correct rollout is at least tau: what is solved reliably rather "
        "than by luck.",
        charts={
            (number,): Chart(x=x, y=y, series=tuple(series), absent=_absent(series))
            for number, (_, series) in enumerate(options)
        },
        choices=(Choice("Chances", tuple(words for words, _ in options)),),
        filed=((0,),),
    )


def _largest_common(results: Results) -> int:
    return min((r.curve.points[-1].k for r in results.sampled if r.curve.points), default=1)


def _counted(results: Results, result: ConditionResult, detail: Detail, *, with_unsolved: bool) -> Series:
    made, label = detail.counts, results.labels[result.id]
    names = [f"{100 * low:g}-{100 * high:g} %" for low, high in zip(made.edges, made.edges[1:], strict=False)]
    bins = list(zip(names, made.bins, strict=True))
    if with_unsolved:
        bins.insert(0, ("none", made.unsolved))
    whole = made.problems if with_unsolved else made.solved
    return Series(
        label=label,
        style=styles(results)[result.id],
        x=tuple(name for name, _ in bins),
        y=tuple(number / whole for _, number in bins),
        words=tuple(
            f"{label}, {name} correct: {plural(number, 'problem')} ({share(number, whole)})" for name, number in bins
        ),
        condition=result.id,
    )


def _absent(series: list[Series]) -> str:
    return "" if series else NOTHING
