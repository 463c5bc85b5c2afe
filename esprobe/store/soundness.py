"""Whether everything in a database is as it was written: verdicts, sums and texts, but not SQLite's own structure."""

from collections.abc import Collection

from esprobe.errors import StoreError
from esprobe.store.database import damaged
from esprobe.store.reader import RolloutStore


def check_content(store: RolloutStore, condition_ids: Collection[int] | None = None) -> None:
    """Compare verdicts, sums and every text with what was recorded when they were written.

    It reads the whole file.

    Args:
        store: the database.
        condition_ids: the conditions whose verdicts are compared; None for all.

    Raises:
        StoreError: they differ, or texts are missing: the file is damaged.
    """
    stored = [one.id for one in store.conditions()]
    for id_ in stored if condition_ids is None else condition_ids:
        store.correctness(id_)
    rollouts = sum(store.totals(id_).rollouts for id_ in stored)
    if (texts := store.check_completions()) < rollouts:  # there may be more: a deleted rollout leaves its text
        raise StoreError(damaged(store.path, f"it holds {texts:,} completions of {rollouts:,} rollouts"))
