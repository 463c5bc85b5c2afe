"""What training adds to the base in words and tables: the report's section, and ``compare`` of two models."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence

from esprobe.report.markdown_table import markdown_table
from esprobe.report.text import count, gap, plural, points, points_between, rate
from esprobe.results.results import Results
from esprobe.results.training_gain import Coverage, NothingInCommon, OnlyOne, Reach, TrainingGain, UnclearRoles
from esprobe.safe_text import csv_text, markdown, plain
from esprobe.stats.crossing import Crossing
from esprobe.tables import boxed

Block = str | tuple[Sequence[str], Sequence[Sequence[str]], Sequence[int]]
"""A paragraph, or a table: its head, its rows, and the columns that hold words."""

COLUMNS = ("quantity", "decoding", "k", "base", "trained", "estimate", "ci_low", "ci_high")


def gain_section(results: Results) -> list[str]:
    """Sentence, tables and lists; or why there are none."""
    if not isinstance(results.training_gain, TrainingGain):
        return [markdown(note) for note in gain_notes(results)]
    return _markdown(results.training_gain)


def gain_notes(results: Results) -> list[str]:
    """Why nothing is said of what training adds, where a file holds several models that it could be said of."""
    match results.training_gain:
        case UnclearRoles(models):
            names = ", ".join(model.name for model in models)
            return [
                f"Models of one architecture are in this file ({names}), but not exactly two of which one is recorded "
                "as made from the other, so which is the base and which the trained one is not known; to say it: "
                "report --base MODEL --trained MODEL."
            ]
        case NothingInCommon(roles):
            return [
                f"{roles.base.name} (base) and {roles.trained.name} (trained) have no greedy baselines and no "
                "temperature or sigma in common over the same problems, prompt and token limit; sample both with the "
                "same options."
            ]
        case _:
            return []


def as_table(gain: TrainingGain) -> str:
    """For people at a terminal; ASCII but for names."""
    blocks = _blocks(gain, plain)
    texts = [b if isinstance(b, str) else boxed(b[0], b[1], left=b[2]).rstrip("\n") for b in blocks]
    return "\n\n".join(texts) + "\n"


def as_markdown(gain: TrainingGain) -> str:
    """The same for a page or an issue."""
    return "\n".join(_markdown(gain)) + "\n"


def as_csv(gain: TrainingGain) -> str:
    """One line per difference and per range of k; an empty field where there is no value, or an end is open."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for decoding, made in ((gain.decoding, gain.pass_1), *((c.decoding, c.difference) for c in gain.coverage)):
        for p in made.points:
            writer.writerow(("difference", csv_text(decoding), p.k, p.a, p.b, p.estimate, p.ci_low, p.ci_high))
    for quantity, made_points in (
        ("k that reaches pass@1", [(r.decoding, r.point) for r in gain.reaches]),
        ("crossing point k*", [(c.decoding, c.point) for c in gain.coverage]),
    ):
        for decoding, point in made_points:
            for low, high in () if point is None else point.ranges or ((None, None),):
                assert point is not None
                writer.writerow((quantity, csv_text(decoding), "", "", "", point.k, low, high))
    return buffer.getvalue()


def gain_sentence(gain: TrainingGain) -> str:
    """The answer in a few sentences, by the rule of docs/statistics.md; names of decodings are not escaped."""
    parts = [_pass_1_sentence(gain)]
    if gain.reaches:
        first = gain.reaches[0]
        parts.append(_reach_sentence(first))
        if gain.solved_greedily is not None and first.solved is not None:
            parts.append(_solved_sentence(gain.solved_greedily, first))
    if gain.coverage:
        parts.append(_coverage_sentence(gain.coverage[0]))
    return " ".join(parts)


def reaching_k(point: Crossing) -> tuple[str, str]:
    """The fewest whole rollouts with which the base reaches the trained model's pass@1, and their interval."""
    beyond = f"more than {count(point.n)}"
    estimate = beyond if point.k is None else count(math.ceil(point.k))
    # Rounding up keeps what the set covers: it is the same for the true k and for the ends.
    among = _ranges(point, lambda k: count(math.ceil(k)), least="1")
    return estimate, among or (beyond if point.last > 0 else "1")


def crossing_k(point: Crossing) -> tuple[str, str]:
    """k* and its confidence set."""
    k = f"none up to {count(point.n)}" if point.k is None else f"{point.k:.3g}"
    return k, _ranges(point, lambda k: f"{k:.3g}") or "empty"


def _ranges(point: Crossing, number: Callable[[float], str], least: str | None = None) -> str:
    """The confidence set in words; ``least`` stands for an end that is open below."""
    words = []
    for low, high in point.ranges:
        start = least if low is None else number(low)
        if high is None:
            words.append("any k" if start is None else f"{start} or more")
        elif start is None:
            words.append(f"up to {number(high)}")
        else:
            stop = number(high)
            words.append(start if start == stop else f"{start} to {stop}")
    return " or ".join(words)


def _pass_1_sentence(gain: TrainingGain) -> str:
    (p,) = gain.pass_1.points
    how = gain.decoding if None in gain.greedy else "greedy decoding"
    difference = gap(p.estimate, p.ci_low, p.ci_high)
    verb = f"gains {difference} at pass@1" if p.estimate >= 0 else f"changes pass@1 by {difference}"
    text = f"Training {verb} ({how}), from {rate(p.a)} to {rate(p.b)}"
    if p.ci_low is None or p.ci_high is None:
        return f"{text}; how sure that is cannot be told from these data."
    return f"{text}, which the data do not tell from no change." if p.ci_low <= 0 <= p.ci_high else f"{text}."


def _reach_sentence(reach: Reach) -> str:
    if reach.point is None:
        return f"How many rollouts of the base reach that ({reach.decoding}) cannot be told from these data."
    estimate, interval = reaching_k(reach.point)
    around = f"({reach.decoding}; 95 % interval for k: {interval})"
    if reach.point.k is None:
        return f"The base does not reach that within {count(reach.point.n)} rollouts {around}."
    return f"The base reaches that at k = {estimate} {around}."


def _solved_sentence(solved: int, reach: Reach) -> str:
    assert reach.solved is not None
    within = f"within {plural(reach.samples, 'rollout')}"
    text = f"Of the {plural(solved, 'problem')} that the trained model solves greedily the base solves"
    missed = solved - reach.solved
    if not missed:
        return f"{text} all {within}."
    return f"{text} {count(reach.solved)} {within}; {count(missed)} {'is' if missed == 1 else 'are'} not."


def _coverage_sentence(pair: Coverage) -> str:
    if pair.point is None or not pair.difference.points:
        return ""
    last = pair.difference.points[-1]
    text = (
        f"With k = {count(last.k)} rollouts of {pair.decoding} the trained model solves {rate(last.b)} and the base "
        f"{rate(last.a)}, {gap(last.estimate, last.ci_low, last.ci_high)}: "
        f"{_coverage_outcome(last.ci_low, last.ci_high)}."
    )
    k, among = crossing_k(pair.point)
    if pair.point.k is None:
        found = f"The two curves do not cross up to k = {count(pair.point.n)}"
    else:
        found = f"The two curves cross at k* = {k}"
    return f"{text} {found} (95 % set for k*: {among})."


def _coverage_outcome(low: float | None, high: float | None) -> str:
    if low is not None and low > 0:
        return "training widens coverage"
    if high is not None and high < 0:
        return "training narrows coverage"
    return "the data do not tell whether training widens or narrows coverage"


def _markdown(gain: TrainingGain) -> list[str]:
    lines: list[str] = []
    for block in _blocks(gain, markdown):
        lines += [
            *([""] if lines else []),
            *([block] if isinstance(block, str) else markdown_table([block[0], *block[1]])),
        ]
    return lines


def _blocks(gain: TrainingGain, escape: Callable[[str], str]) -> Iterator[Block]:
    base, trained = gain.roles.base.name, gain.roles.trained.name
    yield escape(gain_sentence(gain))
    yield (
        f"The base is {escape(base)}, the trained model {escape(trained)}, over {plural(gain.problems, 'problem')} "
        "that both have. The rule is that of docs/statistics.md, fixed before any data were seen."
    )
    if gain.reaches:
        yield "How many rollouts of the base reach the trained model's pass@1:"
        yield _reach_table(gain, escape)
    if gain.coverage:
        first = gain.coverage[0]
        yield f"pass@k of the two under the same decoding, {escape(first.decoding)}, in points:"
        yield _difference_table(first)
        yield "Where the two curves cross, under each decoding that both have:"
        yield _crossing_table(gain.coverage, escape)
    yield from _lists(gain, escape)


def _reach_table(gain: TrainingGain, escape: Callable[[str], str]) -> Block:
    of = [] if gain.solved_greedily is None else [f"solved of those {count(gain.solved_greedily)}"]
    rows = []
    for r in gain.reaches:
        k = ("none", "none") if r.point is None else reaching_k(r.point)
        rows.append([escape(r.decoding), count(r.samples), *k, *([] if r.solved is None else [count(r.solved)])])
    return ["base", "rollouts", "k", "95 % interval for k", *of], rows, (0,)


def _difference_table(pair: Coverage) -> Block:
    rows = [
        [
            count(p.k),
            rate(p.a),
            rate(p.b),
            f"{points(p.estimate)} {points_between(p.ci_low, p.ci_high) or f'({p.note})'}",
            points_between(p.band_low, p.band_high) or "none",
        ]
        for p in pair.difference.points
    ]
    return ["k", "base", "trained", "trained - base", "all k at once"], rows, ()


def _crossing_table(pairs: Sequence[Coverage], escape: Callable[[str], str]) -> Block:
    rows = []
    for pair in pairs:
        k = ("none", "none") if pair.point is None else crossing_k(pair.point)
        last = pair.difference.points[-1]
        at_n = f"{points(last.estimate)} {points_between(last.ci_low, last.ci_high) or f'({last.note})'}"
        rows.append([escape(pair.decoding), *k, count(last.k), at_n])
    return ["decoding", "k*", "95 % set for k*", "largest k", "trained - base there"], rows, (0,)


def _lists(gain: TrainingGain, escape: Callable[[str], str]) -> Iterator[Block]:
    drawn = f"{count(gain.samples[0])} rollouts of the base and {count(gain.samples[1])} of the trained model"
    yield f"Problems that only one of them solves, greedily or within {drawn}:"
    for who, made in (("trained model", gain.only_trained), ("base", gain.only_base)):
        yield f"Only the {who}: {plural(len(made.problems), 'problem')}{_first_shown(made)}"
        if made.shown:
            head = ["problem", "class", "asked", "decoding", "seed", "completion"]
            rows = [
                [str(s.problem), *map(escape, (s.group, s.inputs, s.decoding)), str(s.seed), escape(s.text)]
                for s in made.shown
            ]
            yield head, rows, (1, 2, 3, 5)


def _first_shown(made: OnlyOne) -> str:
    if not made.problems:
        return "."
    more = len(made.problems) - len(made.shown)
    return f"; the first {count(len(made.shown))} with a completion each:" if more else ", with a completion each:"
