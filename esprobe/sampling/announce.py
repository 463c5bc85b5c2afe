"""Reports how a new condition differs from the stored ones, so that a typo shows before hours are spent on it."""

from collections.abc import Sequence

from esprobe.records import StoredCondition
from esprobe.sampling.observer import Observer
from esprobe.spec import Condition

_OF_ONE_KIND = frozenset({"kind", "temperature", "top_p", "top_k", "sigma", "noise", "scope"})
"""Keys that always differ between kinds of conditions; all others should be equal for arms to be comparable."""


def announce_new(wanted: Sequence[Condition], stored: Sequence[StoredCondition], observer: Observer) -> None:
    """Report for each new condition the most similar stored one, preferably of its own kind, and every difference.

    The first condition of a kind is not reported if it is otherwise equal to a stored one.
    """
    # What was sampled elsewhere differs in much that nobody chose here.
    stored = [other for other in stored if other.condition.source is None]
    digests = {other.condition.digest for other in stored}
    for condition in wanted:
        if condition.digest in digests or not stored:
            continue
        alike = [other.condition for other in stored if other.condition.kind == condition.kind]
        skipped = frozenset[str]() if alike else _OF_ONE_KIND
        candidates = alike or [other.condition for other in stored]
        nearest = min(candidates, key=lambda other: len(_differences(condition, other, skipped)))
        differences = ", ".join(
            f"{key} is {new} and was {old}" for key, new, old in _differences(condition, nearest, skipped)
        )
        if differences:
            observer.notice(f"new condition {condition.label}: unlike the stored {nearest.label}, {differences}")


def _differences(new: Condition, old: Condition, skipped: frozenset[str]) -> list[tuple[str, str, str]]:
    keys = dict.fromkeys([*new.identity, *old.identity])
    pairs = ((key, new.identity.get(key), old.identity.get(key)) for key in keys if key not in skipped)
    return [(key, _short(a), _short(b)) for key, a, b in pairs if a != b]


def _short(value: object) -> str:
    text = str(value)
    return text[:12] + "..." if len(text) == 64 else text  # digests
