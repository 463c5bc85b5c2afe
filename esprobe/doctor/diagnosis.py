"""All checks of one model on one engine."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from esprobe.doctor.checks import Check, check_numbers, perturbed_names, refuse, whole_model
from esprobe.doctor.graphs import graphs
from esprobe.doctor.liveness import liveness
from esprobe.doctor.rounding import Rounding, rounding, samples, scales
from esprobe.engines import EngineOptions, Lineage, ModelIdentity, check_options, find_engine, identify, load, resolve
from esprobe.engines.checkpoint import Checkpoint, find_checkpoint
from esprobe.engines.probe import GraphedEngine, ProbedEngine
from esprobe.errors import EngineError, UsageError
from esprobe.spec import LEAST_SIGMA, MOST_SIGMA, is_sigma

_PERTURBING = EngineOptions(perturbs=True)


@dataclass(frozen=True)
class Diagnosis:
    """The results of all checks.

    Attributes:
        identity: the model, its fingerprint and the dtype it was served in.
        engine: the engine's name.
        checks: in the order in which they were made.
        dead: checkpoint tensors that change nothing when perturbed alone.
        rounding: what rounding to the dtype does at each sigma; plays no part in the verdict.
    """

    identity: ModelIdentity
    engine: str
    checks: tuple[Check, ...]
    dead: tuple[str, ...]
    rounding: tuple[Rounding, ...]

    @property
    def healthy(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


def diagnose(
    model: str,
    engine: str,
    dtype: str,
    sigmas: Sequence[float],
    *,
    every: bool = False,
    options: EngineOptions = _PERTURBING,
    notice: Callable[[str], None] = lambda message: None,
    lineage: Lineage | None = None,
) -> Diagnosis:
    """Load a model and check it.

    Args:
        model: hub id, folder or "tiny".
        engine: an engine's name, or "auto".
        dtype: the dtype to serve it in, or "auto".
        sigmas: the sigmas whose rounding is reported.
        every: check each tensor alone and not only the first and last of each class.
        options: how the engine runs; it must be one that perturbs.
        notice: called with a message at each step.
        lineage: how the model was trained, if it is not a checkpoint.

    Raises:
        EsprobeError: the model cannot be found, loaded or perturbed at all, or produces NaN logits.
    """
    for sigma in sigmas:
        if not (is_sigma(sigma) and sigma > 0):
            raise UsageError(
                f"--sigma must be from {LEAST_SIGMA:.3g} (less can be 0 in float32, which scales the noise) to "
                f"{MOST_SIGMA:g}, such as 0.005, got {sigma}"
            )
    name = resolve(engine)
    if not find_engine(name).traits.has_weights:
        raise EngineError(
            f"the {name} engine has no weights, so there is nothing to examine; use --engine transformers or vllm"
        )
    check_options(name, options)
    checkpoint = find_checkpoint(model if lineage is None else lineage.root)
    refuse(checkpoint)
    identity = identify(name, model, dtype, lineage)
    notice(f"loading {model} ({identity.dtype}, {name})")
    loaded = load(name, identity, options)
    if not isinstance(loaded, ProbedEngine):
        raise EngineError(
            f"the {name} engine does not expose log-probabilities and weights, so it cannot be examined; "
            f"use --engine transformers"
        )
    check_numbers(loaded)
    return examine(loaded, checkpoint, identity, name, sigmas, every=every, notice=notice)


def examine(
    engine: ProbedEngine,
    checkpoint: Checkpoint,
    identity: ModelIdentity,
    name: str,
    sigmas: Sequence[float],
    *,
    every: bool = False,
    notice: Callable[[str], None] = lambda message: None,
) -> Diagnosis:
    """Check an engine that has loaded a model to perturb it.

    Raises:
        PerturbationError: the engine refuses to perturb this model.
    """
    notice("perturbing and restoring all weights")
    checks, floor = whole_model(engine, checkpoint, identity.dtype)
    tensors = perturbed_names(checkpoint, identity.dtype)
    found = list(samples(checkpoint, tensors, identity.dtype))
    dead: list[str] = []
    if floor < math.inf:  # otherwise answers vary so much that no tensor's effect could be seen
        notice("perturbing tensors one at a time")
        alive, dead = liveness(engine, tensors, scales(found), floor, every)
        checks += alive
        if isinstance(engine, GraphedEngine) and (sizes := engine.graph_sizes()):
            notice(f"perturbing tensors one at a time under the captured graphs of {len(sizes)} sizes")
            replayed, stale = graphs(engine, tensors, scales(found), sizes)
            checks += replayed
            dead += [name for name in stale if name not in dead]
    return Diagnosis(identity, name, tuple(checks), tuple(dead), tuple(rounding(found, sigmas)))
