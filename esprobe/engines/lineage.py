"""A model that ES training made: its base and the updates that lead from it.

Engines load the base and apply the updates themselves, so that no trained checkpoint has to be written or copied.
"""

from dataclasses import replace
from pathlib import Path

from esprobe.engines.base import SNAPSHOT_S, Engine, EngineOptions, Lineage, ModelIdentity
from esprobe.engines.registry import engine_class
from esprobe.errors import ModelError, UsageError


def identify(engine: str, model: str, dtype: str, lineage: Lineage | None = None) -> ModelIdentity:
    """Find a model, or the base of a trained one, without loading it.

    Args:
        engine: a resolved engine's name.
        model: the name that was asked for.
        dtype: the dtype to serve it in, or "auto".
        lineage: how the model was trained; None for an ordinary one.

    Raises:
        EsprobeError: the model cannot be found or used, or a trained model's base or dtype is not that of its training.
    """
    if lineage is None:
        return engine_class(engine).identify(model, dtype)
    if dtype not in ("auto", lineage.dtype):
        raise UsageError(
            f"{model} was trained in {lineage.dtype}, and its updates give another model in {dtype}; leave --dtype "
            f"out, or use --dtype {lineage.dtype}"
        )
    try:
        base = identify(engine, lineage.base, lineage.dtype, lineage.below)
    except ModelError as err:
        raise ModelError(
            f"{model} was trained from {lineage.base!r}, which cannot be found or used here: {err}. A relative folder "
            f"is looked for from the current folder, then beside the database"
        ) from err
    if base.fingerprint != lineage.base_fingerprint:
        raise ModelError(
            f"{model} was trained from {lineage.base}, whose files have changed since (fingerprint "
            f"{lineage.base_fingerprint[:12]} then, {base.fingerprint[:12]} now), so the same updates would give "
            f"another model; restore the files of {lineage.base}"
        )
    return replace(base, model=lineage.name, fingerprint=lineage.trajectory.fingerprint, lineage=lineage)


def check_state(lineage: Lineage, state: str) -> None:
    """Hold the weights of a trained model against what its training recorded of them.

    Raises:
        ModelError: they are others.
    """
    if lineage.state not in (None, state):
        raise ModelError(
            f"the updates of {lineage.name} lead to other weights here than in its training (digest {state[:12]}, "
            f"recorded {str(lineage.state)[:12]}), so it would be another model; check the database with esprobe "
            f"verify, and the files of {lineage.base}"
        )


def load(engine: str, identity: ModelIdentity, options: EngineOptions) -> Engine:
    """Load what ``identify`` found; a trained model has the weights of a checkpoint of it.

    Raises:
        EsprobeError: the model cannot be loaded, or its updates cannot reach all weights.
    """
    lineage = identity.lineage
    if lineage is None:
        return engine_class(engine).load(identity, options)
    base = ModelIdentity(lineage.base, lineage.base_fingerprint, identity.dtype, lineage.below)
    loaded = load(engine, base, options)
    state = loaded.evolve(lineage.trajectory, Path(lineage.snapshots), write_after_s=SNAPSHOT_S)
    check_state(lineage, state)
    loaded.settle()
    return loaded
