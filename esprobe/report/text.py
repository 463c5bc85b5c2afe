"""How numbers are formatted for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # types only: `show` formats counts and needs no numpy
    from collections.abc import Sequence

    from esprobe.stats.curve import Point
    from esprobe.stats.intervals import Note, Target

MOST_DECIMALS = 6

TARGETS: dict[Target, str] = {
    "problems like these": "new problems (random set)",
    "these problems": "same problems (fixed set)",
}
"""How the two targets of intervals are named in print; JSON keeps the stored names."""

NOTES: dict[Note, str] = {
    "one problem": "the variance between problems cannot be estimated from one",
    "one perturbation": "all problems share the single perturbation, so its variance cannot be estimated",
    "one rollout": "the variance between rollouts cannot be estimated from one per problem",
    "no spread": "every problem has the same pass@k, so the variance between problems cannot be estimated",
    "no luck": "no problem's pass@k changes if a rollout is left out, so the variance cannot be estimated",
    "greedy is fixed": "greedy decoding of the same problems gives the same answers again",
}
"""Why a value has no interval; notes on bounds need no explanation."""


def count(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """A counted noun, "1 problem" or "2,000 problems"."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def share(part: int, whole: int) -> str:
    """A part in per cent, or words where there is nothing to divide by."""
    return f"{_digits(part / whole, part / whole)} %" if whole else "none yet"


def span(low: int, high: int) -> str:
    """One number, or two with "to" between them."""
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def percent(point: Point) -> str:
    """A point in per cent with its interval, "12.3 % [10.1, 14.9]", or with the reason why there is none.

    Small values keep two digits, and the interval has as many decimals as the value.
    """
    value = within(point.estimate, point.ci_low, point.ci_high)
    return f"{value} ({point.note})" if point.ci_low is None and point.note is not None else value


def within(estimate: float, low: float | None, high: float | None) -> str:
    """A share in per cent with its interval, "12.3 % [10.1, 14.9]", or without one where there is none."""
    if low is None or high is None:
        return f"{_digits(estimate, estimate)} %"
    scale = estimate or high
    return f"{_digits(estimate, scale)} % [{_digits(low, scale)}, {_digits(high, scale)}]"


def rate(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A share in per cent with one decimal, and its interval if it has one; "none" without a value."""
    if value is None:
        return "none"
    interval = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * value:.1f} %{interval}"


def sentence(text: str) -> str:
    """A clause as a sentence: capital letter and full stop."""
    return f"{text[0].upper()}{text[1:]}."


def k_list(ks: Sequence[int]) -> str:
    """Several k, "k = 1, 16 and 256"."""
    *first, last = map(str, ks)
    return f"k = {', '.join(first)} and {last}" if first else f"k = {last}"


def gap(estimate: float, low: float | None, high: float | None) -> str:
    """A difference of shares in percentage points with its interval, "+2.3 points [-0.4, +5.1]"."""
    value = f"{100 * estimate:+.1f} points"
    return value if low is None or high is None else f"{value} [{100 * low:+.1f}, {100 * high:+.1f}]"


def points(difference: float) -> str:
    """A difference of shares in points of per cent, always with its sign."""
    return f"{100 * difference:+.1f}"


def points_between(low: float | None, high: float | None) -> str | None:
    """An interval in points; None without one."""
    return None if low is None or high is None else f"[{points(low)}, {points(high)}]"


def p_value(p: float) -> str:
    """A p to two digits, "<0.001" below what anybody should read more from."""
    return "<0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _digits(value: float, scale: float) -> str:
    decimals = 1
    if 0 < scale < 0.01:
        decimals = min(MOST_DECIMALS, 1 - math.floor(math.log10(100 * scale)))
    return f"{100 * value:.{decimals}f}"
