"""The effect of rounding at a sigma: weights that do not move, and the spread of what was really added.

Computed from the checkpoint's files and noise v1 on a bounded sample of each tensor; needs no engine.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from esprobe.engines.checkpoint import Checkpoint
from esprobe.engines.tensor_groups import GROUPS, group_of
from esprobe.noise import standard_normal

_RUNS, _RUN = 4, 2048  # runs of consecutive elements read from each tensor, and their length
_SEED = 57


@dataclass(frozen=True)
class Rounding:
    """One class of tensors at one sigma.

    Attributes:
        sigma: the nominal sigma.
        group: the class of tensors.
        sampled: weights examined.
        unmoved: share of them that rounding left unchanged.
        spread: root mean square of what was really added, in sigmas.
    """

    sigma: float
    group: str
    sampled: int
    unmoved: float
    spread: float


@dataclass(frozen=True)
class Sample:
    """A run of one tensor's weights, in the served dtype (a 1-D torch tensor)."""

    name: str
    numel: int
    start: int
    weights: Any


def samples(checkpoint: Checkpoint, names: Sequence[str], dtype: str) -> Iterator[Sample]:
    """A bounded sample of each tensor, as it is served."""
    import torch
    from safetensors import safe_open

    served, wanted = getattr(torch, dtype), set(names)
    for path in checkpoint.weights:
        with safe_open(path, framework="pt") as file:
            for name in wanted.intersection(file.keys()):
                flat = file.get_tensor(name).reshape(-1)
                numel = flat.numel()
                starts = range(0, numel, _RUN)
                if len(starts) > _RUNS:
                    starts = range(0, numel - _RUN + 1, (numel - _RUN) // (_RUNS - 1))
                for start in starts:
                    yield Sample(name, numel, start, flat[start : start + _RUN].to(served))


def scales(found: Sequence[Sample]) -> dict[str, float]:
    """Root mean square of each tensor's sampled weights."""
    sums: dict[str, tuple[float, int]] = {}
    for sample in found:
        total, count = sums.get(sample.name, (0.0, 0))
        sums[sample.name] = (total + float(sample.weights.double().square().sum()), count + sample.weights.numel())
    return {name: math.sqrt(total / count) if count else 0.0 for name, (total, count) in sums.items()}


def rounding(found: Sequence[Sample], sigmas: Sequence[float]) -> list[Rounding]:
    """Each class of tensors at each sigma."""
    import numpy as np
    import torch

    totals: dict[tuple[float, str], tuple[int, int, float]] = {}
    for sample in found:
        noise = standard_normal(_SEED, sample.name, sample.start, sample.weights.numel(), numel=sample.numel)
        base = sample.weights.float()
        for sigma in sigmas:
            moved = torch.from_numpy(noise * np.float32(sigma)).add_(base).to(sample.weights.dtype)
            added = moved.double() - base.double()
            key = (sigma, group_of(sample.name))
            count, still, squares = totals.get(key, (0, 0, 0.0))
            still += int((moved == sample.weights).sum())
            totals[key] = (count + added.numel(), still, squares + float(added.square().sum()))
    order = [(sigma, group) for sigma in dict.fromkeys(sigmas) for group in GROUPS if (sigma, group) in totals]
    return [
        Rounding(sigma, group, count, still / count, math.sqrt(squares / count) / sigma)
        for sigma, group in order
        for count, still, squares in [totals[sigma, group]]
    ]
