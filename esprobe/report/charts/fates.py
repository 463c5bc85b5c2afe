"""Failures of rollouts by reason, and majority votes."""

from esprobe.report.charts.curves import NOTHING
from esprobe.report.charts.model import Axis, Chart, Choice, Figure, Series
from esprobe.report.charts.style import PARTS, styles
from esprobe.report.text import count, share, within
from esprobe.results.results import Results
from esprobe.stats.taxonomy import CORRECT, Taxonomy


def taxonomy(results: Results) -> Figure:
    """Correct rollouts and failures by reason, of every condition, for all problems and for each class."""
    found = [(results.labels[r.id], r.detail.taxonomy) for r in results.conditions if r.detail is not None]
    found = [(label, made) for label, made in found if made.rollouts]
    groups = sorted({group for _, made in found for group in made.groups})
    return Figure(
        name="taxonomy",
        title="Failure breakdown",
        reading="Each rollout is in exactly one part: correct, or the first reason why it is not.",
        charts={(i,): _fates(found, group) for i, group in enumerate(["", *groups])},
        choices=(Choice("Problem class", ("all", *groups)),),
        filed=((0,),),
    )


def _fates(found: list[tuple[str, Taxonomy]], group: str) -> Chart:
    x, y = Axis("", "category"), Axis("rollouts", percent=True)
    if not found:
        return Chart(x=x, y=y, absent="No rollout is stored yet, so there are no failures to count.")
    tables = [(label, *_of_group(made, group)) for label, made in found]
    tables = [(label, whole, fates) for label, whole, fates in tables if whole]
    totals: dict[str, int] = {}
    for _, _, fates in tables:
        for word, number in fates.items():
            totals[word] = totals.get(word, 0) + number
    # Those correct first, then what is commonest over all conditions.
    words = sorted((word for word in totals if totals[word]), key=lambda word: (word != CORRECT, -totals[word], word))
    series = tuple(
        Series(
            label=word,
            style=PARTS[place % len(PARTS)],
            x=tuple(label for label, _, _ in tables),
            y=tuple(fates.get(word, 0) / whole for _, whole, fates in tables),
            words=tuple(
                f"{label}, {word}: {count(fates.get(word, 0))} of {count(whole)} rollouts "
                f"({share(fates.get(word, 0), whole)})"
                for label, whole, fates in tables
            ),
        )
        for place, word in enumerate(words)
    )
    return Chart(x=x, y=y, kind="stacked", series=series)


def _of_group(made: Taxonomy, group: str) -> tuple[int, dict[str, int]]:
    """(rollouts, rollouts by fate) of one problem class; of all for the empty word."""
    if not group:
        return made.rollouts, {fate.word: fate.rollouts for fate in made.fates}
    if group not in made.groups:
        return 0, {}
    place = made.groups.index(group)
    return made.group_rollouts[place], {fate.word: fate.by_group[place] for fate in made.fates}


def votes(results: Results) -> Figure:
    """maj@k of every sampled condition."""
    looks, series = styles(results), []
    for r in results.sampled:
        points = () if r.detail is None or r.detail.vote is None else r.detail.vote.points
        if points:
            label = results.labels[r.id]
            series.append(
                Series(
                    label=label,
                    style=looks[r.id],
                    x=tuple(float(p.k) for p in points),
                    y=tuple(p.estimate for p in points),
                    low=tuple(p.ci_low for p in points),
                    high=tuple(p.ci_high for p in points),
                    words=tuple(
                        f"{label}, k = {count(p.k)}: {within(p.estimate, p.ci_low, p.ci_high)}" for p in points
                    ),
                    condition=r.id,
                )
            )
    stored = any(r.problems for r in results.sampled)
    absent = (
        "A vote needs two rollouts of every problem at least, and the values that they answer." if stored else NOTHING
    )
    ticks = tuple(sorted({float(x) for s in series for x in s.x}))
    return Figure(
        name="votes",
        title="Majority vote",
        reading="maj@k: the chance that the commonest value among k rollouts is the right one. Unlike pass@k it needs "
        "no way to check an answer.",
        charts={
            (): Chart(
                x=Axis("k, rollouts that vote", "log", ticks=ticks),
                y=Axis("maj@k", percent=True),
                series=tuple(series),
                absent="" if series else absent,
            )
        },
    )
