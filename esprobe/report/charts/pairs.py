"""Two conditions, or two arms: their difference, and the overlap of their solved problems."""

from collections.abc import Sequence

from esprobe.report.charts.model import Axis, Chart, Choice, Figure, Reference, Series, Style
from esprobe.report.charts.style import PARTS
from esprobe.report.text import TARGETS, count, gap, plural, share, within
from esprobe.results.detail import Comparison
from esprobe.results.results import ConditionResult, Results
from esprobe.spec import Kind
from esprobe.stats.difference import Difference
from esprobe.stats.overlap import Overlap, OverlapRow

NO_PAIR = "There are no two conditions to compare."
LOOK = Style("#0072B2", "solid", "circle")
NEITHER = Style("#BBBBBB")
ZERO = Reference("no difference", 0.0, Style("", "dot"))
ARMS = "any temperature against any perturbation"


def difference(results: Results) -> Figure:
    """pass@k of B minus pass@k of A for any two conditions, and for any condition against a null."""
    x, y = Axis("k, rollouts per problem of each", "log"), Axis("difference in pass@k", percent=True)
    conditions = list(results.conditions)
    names = [results.labels[r.id] for r in conditions]
    known = {(pair.label_a, pair.label_b): pair for pair in (*results.pairs, *results.against_null)}
    firsts = [*names, *dict.fromkeys(pair.label_a for pair in results.against_null)]
    targets = tuple(TARGETS.values())
    if not known:
        return Figure(name="difference", title=TITLE, reading=READING, charts={(): Chart(x=x, y=y, absent=NO_PAIR)})
    charts: dict[tuple[int, ...], Chart] = {}
    for i, a in enumerate(firsts):
        for j, b in enumerate(names):
            for t in range(len(targets)):
                charts[i, j, t] = _between(a, b, known, same_problems=t == 1)
    first = tuple(names.index(results.labels[id_]) for id_ in best_of_arms(results))
    return Figure(
        name="difference",
        title=TITLE,
        reading=READING,
        charts=charts,
        choices=(
            Choice("A", tuple(firsts), first[0]),
            Choice("B", tuple(names), first[1]),
            Choice("Intervals for", targets),
        ),
        filed=((*first, 0),),
    )


TITLE = "Difference between two conditions"
READING = (
    "pass@k of B minus pass@k of A over the problems that both have. Above 0, B solves more. The inner band holds at "
    "each k by itself, the outer one at all k at once: where the outer band excludes 0, the two differ."
)


def best_of_arms(results: Results) -> tuple[int, int]:
    """Ids of the two conditions to look at first: each arm's best at the largest k, or the two best there are."""

    def height(result: ConditionResult) -> float:
        return result.curve.points[-1].estimate if result.curve.points else -1.0

    arms = [[r for r in results.sampled if r.kind is kind] for kind in Kind if kind.parameter is not None]
    if all(arms):
        a, b = (max(arm, key=height) for arm in arms)
    else:
        ranked = sorted(results.sampled or results.conditions, key=height)
        a, b = ranked[0], ranked[-1]
    return a.id, b.id


def _between(a: str, b: str, known: dict[tuple[str, str], Comparison], *, same_problems: bool) -> Chart:
    if (a, b) in known:
        pair, sign = known[a, b], 1
    elif (b, a) in known:
        pair, sign = known[b, a], -1
    else:
        words = f"{a} is both A and B; choose two." if a == b else f"{a} and {b} were not compared."
        return Chart(x=Axis(""), y=Axis(""), absent=words)
    made = pair.same_problems if same_problems else pair.difference
    if not made.points:
        return Chart(x=Axis(""), y=Axis(""), absent=f"No k is within n of both {a} and {b}.")
    return _drawn(a, b, made, sign)


def _drawn(a: str, b: str, made: Difference, sign: int) -> Chart:
    def turned(low: float | None, high: float | None) -> tuple[float | None, float | None]:
        return (low, high) if sign > 0 else (None if high is None else -high, None if low is None else -low)

    points = made.points
    ends = [turned(p.ci_low, p.ci_high) for p in points]
    bands = [turned(p.band_low, p.band_high) for p in points]
    outer = tuple((low, high) for low, high in bands if low is not None and high is not None)
    words = []
    for p, inner, (low, high) in zip(points, ends, bands, strict=True):
        first, second = (p.a, p.b) if sign > 0 else (p.b, p.a)
        at_once = (
            "" if low is None or high is None else f", at all k at once {gap(0, low, high).partition(' points ')[2]}"
        )
        words.append(
            f"k = {count(p.k)}: {gap(sign * p.estimate, *inner)}{at_once} (A {within(first, None, None)}, "
            f"B {within(second, None, None)}){'' if p.note is None else f'; {p.note}'}"
        )
    series = Series(
        label=f"{b} minus {a}",
        style=LOOK,
        x=tuple(float(p.k) for p in points),
        y=tuple(sign * p.estimate for p in points),
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
        outer=outer if len(outer) == len(points) else (),
        words=tuple(words),
    )
    return Chart(
        x=Axis("k, rollouts per problem of each", "log", ticks=tuple(float(p.k) for p in points)),
        y=Axis(f"B minus A, {plural(made.problems, 'problem')}", percent=True),
        series=(series,),
        references=(ZERO,),
    )


def overlap(results: Results) -> Figure:
    """Both, only A, only B, neither, by problem class: for the arms, then for every pair."""
    found = [] if results.arms is None else [(ARMS, results.arms)]
    found += [(f"{p.label_a} against {p.label_b}", p.overlap) for p in results.pairs if p.overlap is not None]
    charts: dict[tuple[int, ...], Chart] = {(i,): _sets(made) for i, (_, made) in enumerate(found)}
    return Figure(
        name="overlap",
        title="Overlap of solved problems",
        reading="Problems solved at least once by A (named first), by B, by both or by neither, by problem class.",
        charts=charts or {(): Chart(x=Axis(""), y=Axis(""), absent=NO_PAIR)},
        choices=(Choice("A against B", tuple(name for name, _ in found)),) if found else (),
        filed=((0,),) if found else ((),),
    )


PIECES = ("both", "only A", "only B", "neither")


def _sets(made: Overlap) -> Chart:
    x, y = Axis("problem class", "category"), Axis("problems", percent=True)
    rows = [row for row in made.rows if _whole(row)]
    if not rows:
        return Chart(x=x, y=y, absent="These two have no problem in common.")
    parts: Sequence[Sequence[int]] = [(row.both, row.only_a, row.only_b, row.neither) for row in rows]
    series = tuple(
        Series(
            label=piece,
            style=(*PARTS[:3], NEITHER)[place],
            x=tuple(row.group for row in rows),
            y=tuple(part[place] / _whole(row) for part, row in zip(parts, rows, strict=True)),
            words=tuple(
                f"{row.group}, {piece}: {count(part[place])} of {plural(_whole(row), 'problem')} "
                f"({share(part[place], _whole(row))})"
                for part, row in zip(parts, rows, strict=True)
            ),
        )
        for place, piece in enumerate(PIECES)
    )
    return Chart(x=x, y=y, kind="stacked", series=series)


def _whole(row: OverlapRow) -> int:
    return row.both + row.only_a + row.only_b + row.neither
