"""A trained model of a database beside its base."""

from collections.abc import Sequence
from pathlib import Path

from esprobe.analysis.load import check_ks, known_conditions, load, one_task
from esprobe.analysis.roles import find_roles
from esprobe.analysis.training_gain import training_gain
from esprobe.errors import UsageError
from esprobe.results.training_gain import NothingInCommon, Roles, TrainingGain
from esprobe.store import RolloutStore
from esprobe.store.choice import Filters, models_of, named, narrowed, table_labels


def compare_models(
    database: Path,
    base: str | None = None,
    trained: str | None = None,
    ks: Sequence[int] | None = None,
    filters: Filters = Filters(),  # noqa: B008 - it is frozen
) -> TrainingGain:
    """What training adds to the base.

    Args:
        database: the file.
        base: the name of the base, or a tail of it; None to find it.
        trained: likewise the trained model.
        ks: the k to compare at; powers of two up to the smaller n if None.
        filters: the task; needed where the file has several.

    Raises:
        StoreError: the file cannot be read, or holds no condition.
        UsageError: the roles are not clear, the two cannot be compared, or a k is above n.
    """
    with RolloutStore.open(database) as store, store.snapshot():
        known = narrowed(store, known_conditions(store, database), filters)
        one_task(known)
        roles = find_roles(store, known, base, trained)
        if not isinstance(roles, Roles):
            raise UsageError(
                f"it is not clear which model is the base and which the trained one (there are: "
                f"{named(models_of(store, known))}); name both with --base and --trained, or two conditions: esprobe "
                f"compare A B"
            )
        of_both = [
            c for c in known if c.condition.model_fingerprint in (roles.base.fingerprint, roles.trained.fingerprint)
        ]
        loaded = load(store, of_both, table_labels(store, known))
        for one in loaded:
            if ks is not None and one.outcomes.problems:
                check_ks(ks, one)
        gain = training_gain(store, loaded, roles, ks)
    if isinstance(gain, NothingInCommon):
        raise UsageError(
            f"{roles.base.name} and {roles.trained.name} have no greedy baselines and no temperature or sigma in "
            "common over the same problems, prompt and --max-tokens, so they cannot be compared; sample both with the "
            "same options"
        )
    return gain
