"""Checks of the model as a whole: whether it is supported, what noise reaches, and whether it is removed after."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from esprobe.engines import Engine
from esprobe.engines.checkpoint import Checkpoint, find_checkpoint
from esprobe.engines.probe import ProbedEngine, distance
from esprobe.errors import ModelError, PerturbationError
from esprobe.spec import Perturbation, Prompt

CANARIES = (
    Prompt((), "Using the numbers 44, 19 and 35, one can make 98: first"),
    Prompt((), "The quick brown fox jumps over the lazy dog, and then it"),
)
STEPS = 4
"""One token from the prefill and three from decoding: an engine that schedules ahead may have begun the second."""

WHOLE = Perturbation(seed=57, sigma=0.01)
"""The perturbation of all weights that the checks apply and undo."""

_QUANTISED = ("quantization_config", "compression_config")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")


@dataclass(frozen=True)
class Check:
    """One check and its result.

    Attributes:
        name: what was checked, a few words.
        ok: whether it holds.
        detail: the result, one line.
    """

    name: str
    ok: bool
    detail: str


def refuse(checkpoint: Checkpoint) -> None:
    """Refuse a model whose weights engines keep in a form that noise by checkpoint name cannot reach.

    Raises:
        PerturbationError: it is quantised, or a mixture of experts.
    """
    parts: list[Mapping[str, Any]] = [checkpoint.config]
    parts += [part for key, part in checkpoint.config.items() if key.endswith("_config") and isinstance(part, dict)]
    for part in parts:
        for key in _QUANTISED:
            if part.get(key):
                method = part[key].get("quant_method", "unnamed") if isinstance(part[key], dict) else "unnamed"
                raise PerturbationError(
                    f"{checkpoint.name!r} is quantised (config.json has {key}, method {method}), so its weights are "
                    f"codes to which noise of a sigma cannot be added; use the checkpoint in float16, bfloat16 or "
                    f"float32"
                )
        for key in _EXPERTS:
            count = part.get(key)
            if isinstance(count, int) and count > 1:
                raise PerturbationError(
                    f"{checkpoint.name!r} is a mixture of experts (config.json has {key} {count}), whose weights "
                    f"engines fuse and repack, so noise by checkpoint name would not reach them; use a dense model"
                )


def check_numbers(engine: Engine) -> None:
    """Refuse a model that produces NaN logits: its completions would be meaningless.

    Raises:
        ModelError: it does, for a plain sentence.
    """
    if not isinstance(engine, ProbedEngine):
        return
    (reading,) = engine.probe(CANARIES[:1], 1)
    if any(map(math.isnan, reading.logprobs[0])):
        loaded = engine.provenance()
        # Only float16 has a range that sound weights may exceed.
        narrow = "use --dtype bfloat16 or float32, whose range is larger, or " if loaded["dtype"] == "float16" else ""
        raise ModelError(
            f"{loaded['model']!r} produces NaN logits in {loaded['dtype']} for a plain sentence, so its completions "
            f"would be meaningless; {narrow}check that its weights are complete and finite"
        )


def quick_check(engine: Engine) -> list[str]:
    """Coverage, restore and canaries of an engine loaded to perturb; what a session starts with.

    Returns:
        One line for each check; none for an engine without weights.

    Raises:
        PerturbationError: a check failed; the message names it.
    """
    if not isinstance(engine, ProbedEngine):
        return []
    loaded = engine.provenance()
    checkpoint = find_checkpoint(loaded["model"])
    refuse(checkpoint)
    checks, _ = whole_model(engine, checkpoint, loaded["dtype"])
    failed = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    if failed:
        raise PerturbationError(
            f"{checkpoint.name!r} cannot be perturbed correctly on this engine ({'; '.join(failed)}), so its rollouts "
            f"would not belong to their seeds; see: esprobe doctor --model {shlex.quote(checkpoint.name)} "
            f"--engine {loaded['engine']} --dtype {loaded['dtype']}"
        )
    return [f"{check.name}: {check.detail}" for check in checks]


def whole_model(engine: ProbedEngine, checkpoint: Checkpoint, dtype: str) -> tuple[list[Check], float]:
    """Perturb all weights once and restore them; the checks, and how much two equal canaries differ on this engine.

    Raises:
        PerturbationError: the engine refuses to perturb this model.
    """
    base, again = (engine.probe(CANARIES, STEPS) for _ in range(2))
    floor = distance(base, again)
    digest, head = engine.weight_digest(), engine.probe_head()
    with engine.perturbed(WHOLE) as touched:
        changed = distance(engine.probe(CANARIES, STEPS), base)
        other_digest, other_head = engine.weight_digest(), engine.probe_head()
    restored, after = engine.weight_digest(), distance(engine.probe(CANARIES, STEPS), base)
    names = perturbed_names(checkpoint, dtype)
    expected = sum(math.prod(checkpoint.tensors[name]) for name in names)
    tied = f", {plural} tied" if (plural := len(checkpoint.tensors) - len(names)) else ""
    checks = [
        Check(
            "coverage",
            touched == expected,
            f"{touched:,} of {expected:,} scalars touched, {len(names):,} tensors{tied}",
        ),
        Check(
            "canaries repeat",
            floor < math.inf,
            f"two unperturbed answers are {_difference(floor)}",
        ),
        Check(
            "canaries change",
            changed > beyond(floor) and other_digest != digest,
            f"under sigma {WHOLE.sigma:g} they are {_difference(changed)}"
            + (", and the weights' digest is the same" if other_digest == digest else ""),
        ),
        Check(
            "output head",
            other_head != head,
            "computes with the perturbed weights"
            if other_head != head
            else "does not see the noise: it computes with a stale copy",
        ),
        Check(
            "restore",
            restored == digest,
            "weights are bit for bit what they were" if restored == digest else "weights are not what they were",
        ),
        Check(
            "canaries return",
            after <= beyond(floor) < math.inf,  # otherwise it cannot be decided
            f"after it they are {_difference(after)}",
        ),
    ]
    return checks, floor


def perturbed_names(checkpoint: Checkpoint, dtype: str) -> list[str]:
    """Checkpoint tensors that have noise of their own: all floating-point ones except tied copies."""
    tied = checkpoint.tied_copies(dtype)
    return [name for name in checkpoint.tensors if name not in tied]


def beyond(floor: float) -> float:
    """The difference above which answers count as changed, if equal answers differ by up to ``floor``."""
    return 4 * floor


def _difference(difference: float) -> str:
    if difference == 0:
        return "equal, token for token and bit for bit"
    if difference == math.inf:
        return "different in their tokens"
    return f"up to {difference:.2g} apart in log-probability"
