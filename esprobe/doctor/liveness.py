"""Whether each tensor, perturbed alone, changes the model's answers: in the prefill, and in decode steps."""

import re
from collections.abc import Iterable, Mapping, Sequence

from esprobe.doctor.checks import CANARIES, STEPS, Check, beyond
from esprobe.engines.probe import ProbedEngine, Reading, distance
from esprobe.spec import Perturbation

FACTORS = (0.1, 1.0, 10.0)
"""Sigma relative to the tensor's root mean square (at least 0.1). Larger ones are tried before a tensor is called dead,
because rounding can hide a small change of a small tensor."""

SMALLEST_SCALE = 0.1
SEED = 57


def class_of(name: str) -> str:
    """The tensor's name with every number in it replaced by a star."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def representatives(names: Iterable[str]) -> list[str]:
    """The first and the last tensor of each class."""
    classes: dict[str, list[str]] = {}
    for name in sorted(names, key=_layer):
        classes.setdefault(class_of(name), []).append(name)
    return [name for members in classes.values() for name in dict.fromkeys((members[0], members[-1]))]


def liveness(
    engine: ProbedEngine, names: Sequence[str], scales: Mapping[str, float], floor: float, every: bool
) -> tuple[list[Check], list[str]]:
    """The two checks, and the tensors that are dead in either.

    Args:
        engine: loaded to perturb.
        names: the checkpoint's tensors, tied copies left out.
        scales: root mean square of each tensor's weights.
        floor: how much two equal canaries differ.
        every: check all tensors and not only the first and last of each class.
    """
    chosen = list(names) if every else representatives(names)
    base = engine.probe(CANARIES, STEPS)
    dead: dict[str, list[str]] = {"prefill": [], "decode steps": []}
    for name in chosen:
        for stage in _dead_stages(engine, name, max(scales[name], SMALLEST_SCALE), base, floor):
            dead[stage].append(name)
    checked = (
        f"all {len(names):,} tensors"
        if every
        else f"first and last tensor of each class, {len(chosen):,} of {len(names):,}"
    )
    checks = [
        Check(
            f"alive in {stage}",
            not found,
            f"{checked}: each, perturbed alone, changes the canaries" if not found else f"dead: {', '.join(found)}",
        )
        for stage, found in dead.items()
    ]
    return checks, [name for name in chosen if any(name in found for found in dead.values())]


def _dead_stages(engine: ProbedEngine, name: str, scale: float, base: Sequence[Reading], floor: float) -> list[str]:
    """The stages in which no size of noise on this tensor changes anything."""
    first_steps = [Reading(reading.tokens[:1], reading.logprobs[:1]) for reading in base]
    waiting = ["prefill", "decode steps"]
    for factor in FACTORS:
        alone = Perturbation(SEED, factor * scale, scope=f"^{re.escape(name)}$")
        if "prefill" in waiting:
            with engine.perturbed(alone):
                answers = engine.probe(CANARIES, 1)
            if distance(answers, first_steps) > beyond(floor):
                waiting.remove("prefill")
        if "decode steps" in waiting:
            # The prompts' keys and values are the unperturbed ones, so only decoding can show a difference.
            answers = engine.probe(CANARIES, STEPS, decoding=alone)
            if distance(answers, base, first=1) > beyond(floor):
                waiting.remove("decode steps")
        if not waiting:
            break
    return waiting


def _layer(name: str) -> list[int]:
    return [int(part) for part in name.split(".") if part.isdecimal()]
