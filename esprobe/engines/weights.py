"""Perturbing a torch model's weights in place, from a pristine copy, by checkpoint name.

Owns the map from checkpoint tensors to live tensors, the pristine copy that weights are restored from, and the count of
scalars touched. Does not know how text is generated. Weights are never restored by subtracting the noise: because of
rounding, they would drift.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from esprobe.engines.checkpoint import Checkpoint
from esprobe.errors import PerturbationError
from esprobe.noise import fill_standard_normal, noise_key
from esprobe.spec import Perturbation

_SPAN = (
    1 << 18
)  # elements that a thread perturbs at a time, at most: small enough to spread one large tensor over the cores


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

    def runs(self, offset: int, count: int) -> Iterator[tuple[int, int]]:
        """(flat index, length) of the consecutive runs in ``live[offset : offset + count]``, in order."""
        end = offset + count
        while offset < end:
            row, col = divmod(offset, self.cols)
            length = min(self.cols - col, end - offset)
            yield self.start + row * self.row_stride + col, length
            offset += length


def whole_weights(model: Any, checkpoint: Checkpoint, dtype: str) -> list[WeightSlice]:
    """Every floating-point checkpoint tensor as one slice, except tied copies.

    Args:
        model: a transformers model.
        checkpoint: what it was loaded from.
        dtype: the dtype it was loaded in.

    Raises:
        PerturbationError: a checkpoint tensor is not in the model under its own name and shape, two share one
            parameter although they are not tied, or a parameter comes from no checkpoint tensor; noise could then not
            reach it under the right name.
    """
    shapes, tied = checkpoint.tensors, checkpoint.tied_copies(dtype)
    state: dict[str, torch.Tensor] = model.state_dict(keep_vars=True)
    unmatched = sorted(name for name in shapes if name not in state)
    if unmatched:
        raise PerturbationError(
            f"transformers holds {len(unmatched)} of this checkpoint's {len(shapes)} tensors under other names (first: "
            f"{unmatched[0]}), so noise keyed by checkpoint name cannot be applied; this architecture is not supported"
        )
    weights: list[WeightSlice] = []
    owners: dict[int, str] = {}
    for name, tensor in state.items():
        if name not in shapes or name in tied:
            continue
        if (owner := owners.setdefault(tensor.data_ptr(), name)) != name and tensor.numel():
            raise PerturbationError(
                f"{name} and {owner} are two tensors in the checkpoint and one parameter in the model, so noise cannot "
                f"reach both under their own names; write the checkpoint again with save_pretrained, which stores one"
            )
        if tuple(tensor.shape) != shapes[name] or not tensor.is_contiguous() or not tensor.is_floating_point():
            raise PerturbationError(
                f"{name} is {shapes[name]} in the checkpoint and {tuple(tensor.shape)} ({tensor.dtype}) in the "
                f"model, so its elements have no noise of their own; quantised or repacked models are not supported"
            )
        weights.append(WeightSlice(name, tensor.numel(), 0, tensor.data.view(-1)))
    for name, parameter in model.named_parameters():
        if parameter.numel() and parameter.data_ptr() not in owners:
            raise PerturbationError(
                f"the parameter {name} ({parameter.numel():,} scalars) comes from no floating-point tensor of the "
                f"checkpoint, so no noise would reach it; this architecture is not supported"
            )
    return weights


def digest_of_weights(weights: Sequence[WeightSlice]) -> str:
    """SHA-256 over the live weights' bytes, by name and position."""
    digest = hashlib.sha256()
    for weight in sorted(weights, key=lambda weight: (weight.name, weight.start)):
        if weight.start == 0:
            digest.update(weight.name.encode())
        digest.update(weight.live.view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()


def noise_threads() -> int:
    """Threads that compute noise on the CPU: torch's number (OMP_NUM_THREADS), at most one for each usable core."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, int(torch.get_num_threads())))


def pristine_copies(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """A copy of each tensor, on its device.

    Raises:
        PerturbationError: the device has no memory for them.
    """
    try:
        return [tensor.detach().clone() for tensor in tensors]
    except (RuntimeError, MemoryError) as err:  # torch.OutOfMemoryError is a RuntimeError; so is its CPU counterpart
        if not (isinstance(err, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(err)):
            raise
        needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        raise PerturbationError(
            f"perturbing needs a second copy of the weights, {needed / 2**30:.2f} GiB on {tensors[0].device}, for "
            f"which there is not enough free memory; use a 16-bit --dtype, fewer workers on this device, a smaller "
            f"--gpu-memory-utilization (with vLLM), or a smaller model"
        ) from err


@dataclass(frozen=True)
class _Span:
    """``live[offset : offset + count]`` of the weight of that number."""

    index: int
    offset: int
    count: int


class PristineWeights:
    """A pristine copy of the loaded weights; esprobe changes weights only through it."""

    def __init__(self, weights: Sequence[WeightSlice], base: Sequence[torch.Tensor] | None = None) -> None:
        """Copy the live weights, or take a copy that was made before.

        Args:
            weights: every slice of the model.
            base: the pristine numbers of each slice, like its ``live``; None to copy them now.

        Raises:
            PerturbationError: there is no memory for a second copy of the weights.
        """
        self._weights = weights
        self._base = list(base) if base is not None else pristine_copies([weight.live for weight in weights])
        self._threads = ThreadPoolExecutor(noise_threads())

    @contextmanager
    def perturbed(self, perturbation: Perturbation) -> Iterator[int]:
        """Noise on the weights in scope inside, the pristine weights after. Enters with the scalars touched.

        Raises:
            PerturbationError: the scope matches no tensor.
        """
        try:
            yield self.perturb(perturbation)
        finally:
            self.restore()

    def perturb(self, perturbation: Perturbation) -> int:
        """Set the live weights to pristine weights plus the noise of ``perturbation``; returns the scalars touched.

        Raises:
            PerturbationError: the scope matches no tensor.
        """
        touched = 0
        spans = []
        for index in self._in_scope(perturbation.scope):
            live = self._weights[index].live
            count = live.numel()
            if perturbation.sigma == 0:
                live.copy_(self._base[index])  # the identity; adding 0.0 to -0.0 would not be
                touched += count
            elif live.is_cuda:
                self._perturb_fused(perturbation, index)
                touched += count
            else:
                spans += _spans(index, count)
        return touched + sum(self._threads.map(lambda some: self._perturb_spans(perturbation, some), _shares(spans)))

    def restore(self) -> None:
        """Restore the pristine weights, bit for bit."""
        for weight, base in zip(self._weights, self._base, strict=True):
            weight.live.copy_(base)

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
        from esprobe.engines.triton_noise import perturb_strided  # triton comes with torch's CUDA builds only

        weight = self._weights[index]
        shape = (weight.start, weight.rows, weight.cols, weight.row_stride)
        perturb_strided(weight.live, self._base[index], _key(perturbation, weight), *shape, perturbation.sigma)

    def _perturb_spans(self, perturbation: Perturbation, spans: Sequence[_Span]) -> int:
        noise = np.empty(sum(span.count for span in spans), np.float32)
        fill_standard_normal(self._pieces(perturbation, spans, noise))
        # Multiply and add round separately, as noise v1 requires; a fused multiply-add would not.
        noise *= np.float32(perturbation.sigma)
        done = 0
        for span in spans:
            base = self._base[span.index][span.offset : span.offset + span.count]
            live = self._weights[span.index].live[span.offset : span.offset + span.count]
            added = torch.from_numpy(noise[done : done + span.count]).to(base.device)
            live.copy_(added.add_(base.float()).to(live.dtype))
            done += span.count
        return done

    def _pieces(
        self, perturbation: Perturbation, spans: Sequence[_Span], noise: NDArray[np.float32]
    ) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """(key, flat index, where in ``noise``) of every run of consecutive elements, in order."""
        filled = 0
        for span in spans:
            weight = self._weights[span.index]
            key = _key(perturbation, weight)
            for start, length in weight.runs(span.offset, span.count):
                yield key, start, noise[filled : filled + length]
                filled += length


def _spans(index: int, count: int) -> list[_Span]:
    return [_Span(index, offset, min(_SPAN, count - offset)) for offset in range(0, count, _SPAN)]


def _shares(spans: Iterable[_Span]) -> Iterator[list[_Span]]:
    """Spans for one thread at a time; small tensors together, because short numpy calls do not run in parallel."""
    share: list[_Span] = []
    held = 0
    for span in spans:
        if held + span.count > _SPAN:
            yield share
            share, held = [], 0
        share.append(span)
        held += span.count
    if share:
        yield share


def _key(perturbation: Perturbation, weight: WeightSlice) -> int:
    return noise_key(perturbation.seed, weight.name, weight.numel, perturbation.noise)
