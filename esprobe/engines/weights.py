"""Perturbing a torch model's weights in place, from a pristine copy, by checkpoint name.

Owns which live tensor each checkpoint tensor is, the copy that weights are rebuilt from, and the count of scalars
touched. Does not know how text is generated. Weights are never restored by subtracting: rounding makes that
drift.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from esprobe.errors import PerturbationError
from esprobe.noise import fill_standard_normal, noise_key
from esprobe.spec import Perturbation

_SPAN = 1 << 18  # elements a thread perturbs at a time: fine enough to share one large tensor between cores


@dataclass(frozen=True)
class NamedWeight:
    """One checkpoint tensor: its key, and the live tensor the model computes with, flattened."""

    name: str
    live: torch.Tensor


def named_weights(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[NamedWeight]:
    """The live tensor of every floating-point checkpoint tensor, tied ones once (under the first name in the model).

    Args:
        model: a transformers model.
        shapes: shape by checkpoint key.

    Raises:
        PerturbationError: a checkpoint tensor is not in the model under its own name and shape, or a parameter of
            the model comes from no checkpoint tensor; noise could then not reach it under the right name.
    """
    state: dict[str, torch.Tensor] = model.state_dict(keep_vars=True)
    strangers = sorted(name for name in shapes if name not in state)
    if strangers:
        raise PerturbationError(
            f"transformers holds {len(strangers)} of this checkpoint's {len(shapes)} tensors under other names (first: "
            f"{strangers[0]}), so noise keyed by checkpoint name cannot be applied; this architecture is not supported"
        )
    weights: list[NamedWeight] = []
    seen: set[int] = set()
    for name, tensor in state.items():
        if name not in shapes or tensor.data_ptr() in seen:
            continue
        if tuple(tensor.shape) != shapes[name] or not tensor.is_contiguous() or not tensor.is_floating_point():
            raise PerturbationError(
                f"{name} is {shapes[name]} in the checkpoint and {tuple(tensor.shape)} ({tensor.dtype}) in the "
                f"model, so its elements have no noise of their own; quantised or repacked models are not supported"
            )
        seen.add(tensor.data_ptr())
        weights.append(NamedWeight(name, tensor.data.view(-1)))
    for name, parameter in model.named_parameters():
        if parameter.numel() and parameter.data_ptr() not in seen:
            raise PerturbationError(
                f"the parameter {name} ({parameter.numel():,} scalars) comes from no floating-point tensor of the "
                f"checkpoint, so no noise would reach it; this architecture is not supported"
            )
    return weights


class PristineWeights:
    """A copy of the loaded weights, and the only way in which esprobe changes them."""

    def __init__(self, weights: list[NamedWeight]) -> None:
        self._weights = weights
        self._base = {weight.name: weight.live.clone() for weight in weights}
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)

    @contextmanager
    def perturbed(self, perturbation: Perturbation) -> Iterator[int]:
        """Noise on the weights in scope inside; the pristine ones after. Enters with the scalars touched.

        Raises:
            PerturbationError: the scope matches no tensor.
        """
        chosen = self._in_scope(perturbation.scope)
        try:
            yield self._apply(perturbation, chosen)
        finally:
            for weight in chosen:
                weight.live.copy_(self._base[weight.name])

    def digest(self) -> str:
        """SHA-256 over the live weights' bytes, by name."""
        digest = hashlib.sha256()
        for weight in self._weights:
            digest.update(weight.name.encode())
            digest.update(weight.live.view(torch.uint8).cpu().numpy().tobytes())
        return digest.hexdigest()

    def _in_scope(self, scope: str | None) -> list[NamedWeight]:
        if scope is None:
            return self._weights
        chosen = [weight for weight in self._weights if re.search(scope, weight.name)]
        if not chosen:
            raise PerturbationError(
                f"the scope {scope!r} matches none of the {len(self._weights)} tensors, so nothing would be perturbed; "
                f"names look like {self._weights[0].name}"
            )
        return chosen

    def _apply(self, perturbation: Perturbation, chosen: list[NamedWeight]) -> int:
        spans = [
            (weight, start, min(_SPAN, weight.live.numel() - start))
            for weight in chosen
            for start in range(0, weight.live.numel(), _SPAN)
        ]
        touched = sum(self._threads.map(lambda span: self._apply_span(perturbation, *span), spans))
        expected = sum(weight.live.numel() for weight in chosen)
        if touched != expected:
            raise PerturbationError(f"noise reached {touched:,} of {expected:,} weights; this is a bug in esprobe")
        return touched

    def _apply_span(self, perturbation: Perturbation, weight: NamedWeight, start: int, count: int) -> int:
        noise = np.empty(count, np.float32)
        key = noise_key(perturbation.seed, weight.name, weight.live.numel(), perturbation.noise)
        fill_standard_normal(key, start, noise)
        # Multiply and add round separately, as noise v1 says; a fused multiply-add would not.
        noise *= np.float32(perturbation.sigma)
        base = self._base[weight.name][start : start + count]
        summed = torch.from_numpy(noise).to(base.device).add_(base.float())
        live = weight.live[start : start + count]
        live.copy_(summed.to(live.dtype))
        return count
