"""Perturbing a torch model's weights in place, from a pristine copy, by checkpoint name.

Owns which live tensor each checkpoint tensor is, the copy that weights are rebuilt from, and the count of scalars
touched. Does not know how text is generated. Weights are never restored by subtracting: rounding makes that
drift.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
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
_WORTH_A_THREAD = 1 << 17  # of fewer, numpy's steps are so short that threads only wait for each other's lock


@dataclass(frozen=True)
class WeightSlice:
    """A piece of one checkpoint tensor, and where the model computes with it.

    Row r, column c of the piece is number ``r * cols + c`` of ``live`` and has flat index
    ``start + r * row_stride + c`` in the checkpoint tensor. One row is a run of consecutive elements; several are a
    column shard.

    Attributes:
        name: the tensor's checkpoint key.
        numel: elements of the whole checkpoint tensor.
        start: row-major flat index of the piece's first element.
        live: (rows * cols,) contiguous view into the model's own memory.
        rows: rows of the piece.
        row_stride: elements of the checkpoint tensor from one row to the next.
    """

    name: str
    numel: int
    start: int
    live: torch.Tensor
    rows: int = 1
    row_stride: int = 0

    @property
    def cols(self) -> int:
        """Consecutive elements in a row."""
        cols: int = self.live.numel() // self.rows
        return cols

    def runs(self, offset: int, count: int) -> Iterator[tuple[int, int, int]]:
        """(position, flat index, length) of the consecutive runs in ``live[offset : offset + count]``."""
        end = offset + count
        while offset < end:
            row, col = divmod(offset, self.cols)
            length = min(self.cols - col, end - offset)
            yield offset, self.start + row * self.row_stride + col, length
            offset += length


def whole_weights(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[WeightSlice]:
    """Every floating-point checkpoint tensor as one slice, tied ones once (under the first name in the model).

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
    weights: list[WeightSlice] = []
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
        weights.append(WeightSlice(name, tensor.numel(), 0, tensor.data.view(-1)))
    for name, parameter in model.named_parameters():
        if parameter.numel() and parameter.data_ptr() not in seen:
            raise PerturbationError(
                f"the parameter {name} ({parameter.numel():,} scalars) comes from no floating-point tensor of the "
                f"checkpoint, so no noise would reach it; this architecture is not supported"
            )
    return weights


class PristineWeights:
    """A copy of the loaded weights, and the only way in which esprobe changes them."""

    def __init__(self, weights: Sequence[WeightSlice]) -> None:
        self._weights = weights
        self._base = [weight.live.clone() for weight in weights]
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)

    @contextmanager
    def perturbed(self, perturbation: Perturbation) -> Iterator[int]:
        """Noise on the weights in scope inside; the pristine ones after. Enters with the scalars touched.

        Raises:
            PerturbationError: the scope matches no tensor.
        """
        try:
            yield self.perturb(perturbation)
        finally:
            self.restore()

    def perturb(self, perturbation: Perturbation) -> int:
        """Make the live weights those that ``perturbation`` names; returns the scalars touched.

        Raises:
            PerturbationError: the scope matches no tensor.
        """
        touched = 0
        spans = []
        for index in self._in_scope(perturbation.scope):
            live = self._weights[index].live
            count = live.numel()
            if live.is_cuda:
                self._perturb_fused(perturbation, index)
                touched += count
            else:
                spans += [(index, offset, min(_SPAN, count - offset)) for offset in range(0, count, _SPAN)]

        def perturb(span: tuple[int, int, int]) -> int:
            return self._perturb_span(perturbation, *span)

        shared, small = ([s for s in spans if (s[2] >= _WORTH_A_THREAD) is large] for large in (True, False))
        return touched + sum(self._threads.map(perturb, shared)) + sum(map(perturb, small))

    def restore(self) -> None:
        """Make the live weights the pristine ones, bit for bit."""
        for weight, base in zip(self._weights, self._base, strict=True):
            weight.live.copy_(base)

    def digest(self) -> str:
        """SHA-256 over the live weights' bytes, by name and position."""
        digest = hashlib.sha256()
        for weight in sorted(self._weights, key=lambda weight: (weight.name, weight.start)):
            if weight.start == 0:
                digest.update(weight.name.encode())
            digest.update(weight.live.view(torch.uint8).cpu().numpy().tobytes())
        return digest.hexdigest()

    def _in_scope(self, scope: str | None) -> list[int]:
        if scope is None:
            return list(range(len(self._weights)))
        chosen = [index for index, weight in enumerate(self._weights) if re.search(scope, weight.name)]
        if not chosen:
            names = {weight.name for weight in self._weights}
            raise PerturbationError(
                f"the scope {scope!r} matches none of the {len(names)} tensors, so nothing would be perturbed; "
                f"names look like {min(names)}"
            )
        return chosen

    def _perturb_fused(self, perturbation: Perturbation, index: int) -> None:
        from esprobe.engines.triton_noise import perturb_strided  # comes with torch's CUDA builds only

        weight = self._weights[index]
        shape = (weight.start, weight.rows, weight.cols, weight.row_stride)
        perturb_strided(weight.live, self._base[index], _key(perturbation, weight), *shape, perturbation.sigma)

    def _perturb_span(self, perturbation: Perturbation, index: int, offset: int, count: int) -> int:
        weight = self._weights[index]
        base = self._base[index][offset : offset + count]
        live = weight.live[offset : offset + count]
        if perturbation.sigma == 0:
            live.copy_(base)  # the identity; adding 0.0 to -0.0 would not be
            return count
        noise = np.empty(count, np.float32)
        key = _key(perturbation, weight)
        for position, start, length in weight.runs(offset, count):
            fill_standard_normal(key, start, noise[position - offset :][:length])
        # Multiply and add round separately, as noise v1 says; a fused multiply-add would not.
        noise *= np.float32(perturbation.sigma)
        live.copy_(torch.from_numpy(noise).to(base.device).add_(base.float()).to(live.dtype))
        return count


def _key(perturbation: Perturbation, weight: WeightSlice) -> int:
    return noise_key(perturbation.seed, weight.name, weight.numel, perturbation.noise)
