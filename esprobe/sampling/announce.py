"""Saying how a new condition differs from what is stored, so that a typo is seen before hours are spent on it."""

from collections.abc import Sequence

from esprobe.records import StoredCondition
from esprobe.sampling.observer import Observer
from esprobe.spec import Condition

_OF_ONE_KIND = frozenset({"kind", "temperature", "top_p", "top_k", "sigma", "noise", "scope"})
"""Keys in which conditions of two kinds differ by nature; a comparison of arms wants all others equal."""


def announce_new(wanted: Sequence[Condition], stored: Sequence[StoredCondition], observer: Observer) -> None:
    """Name the nearest stored condition of each new one, of its own kind if there is one, and every difference.

    A condition that is the first of its kind, and otherwise like a stored one, is no surprise: nothing is said.
    """
    digests = {known.condition.digest for known in stored}
    for condition in wanted:
        if condition.digest in digests or not stored:
            continue
        alike = [known.condition for known in stored if known.condition.kind == condition.kind]
        skipped = frozenset[str]() if alike else _OF_ONE_KIND
        rivals = alike or [known.condition for known in stored]
        nearest = min(rivals, key=lambda rival: len(_differences(condition, rival, skipped)))
        told = ", ".join(f"{key} is {new} and was {old}" for key, new, old in _differences(condition, nearest, skipped))
        if told:
            observer.notice(f"new condition {condition.label}: unlike the stored {nearest.label}, {told}")


def _differences(new: Condition, old: Condition, skipped: frozenset[str]) -> list[tuple[str, str, str]]:
    keys = dict.fromkeys([*new.identity, *old.identity])
    pairs = ((key, new.identity.get(key), old.identity.get(key)) for key in keys if key not in skipped)
    return [(key, _short(a), _short(b)) for key, a, b in pairs if a != b]


def _short(value: object) -> str:
    text = str(value)
    return text[:12] + "..." if len(text) == 64 else text  # digests
