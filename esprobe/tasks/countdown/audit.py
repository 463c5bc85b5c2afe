"""What is wrong or odd in a set of Countdown problems.

Owns the checks and what their findings mean. Does not know files or how findings are shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from esprobe.records import Finding
from esprobe.tasks.countdown.reach import MOST_SEARCHED, nearest
from esprobe.tasks.countdown.rows import Row, key_of
from esprobe.tasks.countdown.scoring import TOLERANCE, is_meant

NOTES = (
    f"no solution: every expression of + - * / that uses each number once was tried, in exact arithmetic, and none "
    f"comes within {TOLERANCE:g} of the target, which es-paper/1 accepts (powers and floor division, which it counts "
    f"as well, were not tried)",
    "no exact solution: some expression comes that near, but none has the value that strict/1 asks for",
    f"not searched: more than {MOST_SEARCHED} numbers, too many to try every expression of",
    "duplicate: the same numbers, in any order, and the same target as an earlier problem of those audited",
    "in training problems: the same numbers and target as one of the training problems",
)
"""What the findings mean, for people."""


def findings(rows: Sequence[Row], problems: range, training: range) -> tuple[Finding, ...]:
    """Every finding about the rows of ``problems``, those that hold for none too.

    Args:
        rows: the whole data set.
        problems: indices of the problems to audit, all of them in the data set.
        training: indices of the problems that a model may have been trained on; may reach past the data set.
    """
    chosen = {index: rows[index] for index in problems}
    trained = {_key(row) for row in rows[training.start : training.stop]}
    targets = {index: Fraction(row.target) for index, row in chosen.items()}
    fractional = [index for index, target in targets.items() if target.denominator != 1]
    negative = [index for index, target in targets.items() if target.denominator == 1 and target < 0]
    searched = {index for index, row in chosen.items() if len(row.numbers) <= MOST_SEARCHED}
    reached = {index: nearest(chosen[index].numbers, targets[index]) for index in chosen if index in searched}
    return tuple(
        Finding(name, tuple(sorted(indices)))
        for name, indices in (
            ("no solution", [index for index, value in reached.items() if value is None]),
            (
                "no exact solution",
                [i for i, value in reached.items() if value is not None and not is_meant(value, targets[i])],
            ),
            ("not searched", [index for index in chosen if index not in searched]),
            ("fractional target", fractional),
            ("negative whole target", negative),
            ("fractional or negative target", fractional + negative),
            ("duplicate", list(_repeats(chosen))),
            ("in training problems", [index for index, row in chosen.items() if _key(row) in trained]),
            ("repeated numbers", [i for i, row in chosen.items() if len(set(row.numbers)) < len(row.numbers)]),
        )
    )


def _repeats(rows: Mapping[int, Row]) -> Iterator[int]:
    seen = set()
    for index, row in rows.items():
        if _key(row) in seen:
            yield index
        seen.add(_key(row))


def _key(row: Row) -> str:
    return key_of(row.numbers, row.target)
