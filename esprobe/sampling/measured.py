"""What a database says of lengths and speed: the means of rollouts that are stored already."""

from collections.abc import Sequence
from typing import NamedTuple

from esprobe.records import StoredCondition
from esprobe.spec import Condition
from esprobe.store import RolloutStore
from esprobe.store.spending import Spent, spent_on, text_lengths

_SAMPLE = 1000
"""Texts of a condition whose lengths are read."""


class Measured(NamedTuple):
    """What rollouts of a condition, or of those most like it, took.

    Attributes:
        tokens: mean tokens per completion.
        text_bytes: bytes of text of some completions.
        tokens_per_s: of one worker while it generated; None if no time was recorded.
        switch_s: seconds per rollout for changing weights.
        is_like: False if they are the condition's own, True if they are those of others of the same model.
    """

    tokens: float
    text_bytes: tuple[int, ...]
    tokens_per_s: float | None
    switch_s: float
    is_like: bool


_SAME = (
    "task",
    "data_digest",
    "prompt_digest",
    "model_fingerprint",
    "dtype",
    "engine",
    "max_tokens",
    "stop_loops",
    "stop",
)
"""What conditions must share for the lengths of one to foretell those of the other."""


def measured(store: RolloutStore, known: Sequence[StoredCondition], condition: Condition) -> Measured | None:
    """What the stored rollouts of a condition took, else those of its kind, else those of any kind of the same model.

    Args:
        store: the database.
        known: its conditions.
        condition: the condition to be sampled.
    """
    alike = [one for one in known if all(getattr(one.condition, key) == getattr(condition, key) for key in _SAME)]
    own = [one for one in alike if one.condition.digest == condition.digest]
    of_kind = [one for one in alike if one.condition.kind is condition.kind]
    for group in (own, of_kind, alike):
        spent = [spent_on(store, one.id) for one in group]
        rollouts = sum(one.rollouts for one in spent)
        if rollouts:
            return _mean(store, group, spent, rollouts, is_like=group is not own)
    return None


def _mean(
    store: RolloutStore, group: Sequence[StoredCondition], spent: Sequence[Spent], rollouts: int, *, is_like: bool
) -> Measured:
    share = max(_SAMPLE // len(group), 1)
    lengths = tuple(length for one in group for length in text_lengths(store, one.id, share))
    tokens, seconds = sum(one.tokens for one in spent), sum(one.generate_s for one in spent)
    return Measured(
        tokens=tokens / rollouts,
        text_bytes=lengths,
        tokens_per_s=tokens / seconds if seconds and tokens else None,
        switch_s=sum(one.switch_s for one in spent) / rollouts,
        is_like=is_like,
    )
