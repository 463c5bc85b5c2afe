"""Perturbing and training a torch model's weights in place, from a pristine copy, by checkpoint name.

Owns the map from checkpoint tensors to live tensors, the pristine copy that weights are made from, the sum of it, the
accumulator and noise, and the count of scalars touched. Does not know how text is generated. Weights are never restored
by subtracting the noise: because of rounding, they would drift.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from esprobe.engines.accumulator import BLOCK, Accumulator, enough_memory, in_scope
from esprobe.engines.checkpoint import Checkpoint
from esprobe.engines.slices import SPAN, Span, WeightSlice, fill_noise, in_threads, spans
from esprobe.engines.state import Size, Sums, size_of
from esprobe.errors import PerturbationError
from esprobe.noise import noise_key
from esprobe.spec import Perturbation
from esprobe.trajectory import Trajectory


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
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**30
    device = tensors[0].device if tensors else "no device"
    with enough_memory(f"perturbing needs a second copy of the weights, {needed:.2f} GiB on {device}"):
        return [tensor.detach().clone() for tensor in tensors]


_ROOM = f"trained weights are computed in blocks, which need {3 * 4 * BLOCK / 2**20:.0f} MiB on their device"


class PristineWeights:
    """A pristine copy of the loaded weights, and what training adds to them; esprobe changes weights only through it.

    With b the pristine weights as float32 and D the accumulator, outside a perturbation the live weights are
    round_dtype(b + D), and inside round_dtype((b + D) + sign * float32(sigma) * noise), each operation rounded to
    float32. Where nothing is trained D is left out, so that no -0.0 becomes 0.0.
    """

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
        self._accumulator = Accumulator(weights, self._threads)

    @contextmanager
    def perturbed(self, perturbation: Perturbation) -> Iterator[int]:
        """Noise on the weights in scope inside, those without noise after. Enters with the scalars touched.

        Raises:
            PerturbationError: the scope matches no tensor.
        """
        try:
            yield self.perturb(perturbation)
        finally:
            self.restore()

    def perturb(self, perturbation: Perturbation) -> int:
        """Add the noise of ``perturbation`` to the weights without noise; returns the scalars touched.

        Raises:
            PerturbationError: the scope matches no tensor, or there is no memory.
        """
        touched = 0
        on_cpu: list[Span] = []
        for index in in_scope(self._weights, perturbation.scope):
            live = self._weights[index].live
            count = live.numel()
            if perturbation.sigma == 0:
                self._restore(index)  # the identity; adding 0.0 to -0.0 would not be
                touched += count
            elif live.is_cuda:
                self._perturb_fused(perturbation, index)
                touched += count
            else:
                on_cpu += spans(index, count)
        return touched + in_threads(self._threads, lambda share: self._perturb_share(perturbation, share), on_cpu)

    def restore(self) -> None:
        """Restore the weights without noise, bit for bit."""
        for index in range(len(self._weights)):
            self._restore(index)

    def evolve(
        self, trajectory: Trajectory, snapshots: Path | None = None, *, write_after_s: float | None = None
    ) -> list[tuple[WeightSlice, Sums]]:
        """Train the weights by a trajectory's updates, or take training back if it has none.

        The arguments are those of ``Engine.evolve``. If it fails half-way the weights are the pristine ones.

        Returns:
            The trained slices and, for the digest of the state, the sums of their accumulators.

        Raises:
            PerturbationError: the scope matches no tensor, or there is no memory.
        """
        try:
            self._accumulator.advance(trajectory, snapshots, write_after_s=write_after_s)
        finally:
            self.restore()
        return self._accumulator.sums()

    def sizes(self) -> list[tuple[WeightSlice, Size]]:
        """The trained slices, and how large their accumulators are beside their pristine weights."""
        found = []
        for index in self._accumulator.indices:
            part = self._accumulator.part(index)
            assert part is not None
            found.append((self._weights[index], size_of(part, self._base[index])))
        return found

    def settle(self) -> None:
        """Make the trained weights, rounded to the served dtype, the pristine ones; the accumulator is freed."""
        self.restore()
        for index in self._accumulator.indices:
            self._base[index].copy_(self._weights[index].live)
        self._accumulator.clear()

    @property
    def accumulator_device(self) -> str | None:
        """Where the accumulator lies, "cpu" if a GPU had no room for it; None if nothing is trained."""
        return self._accumulator.device

    def _restore(self, index: int) -> None:
        live, base, trained = self._weights[index].live, self._base[index], self._accumulator.part(index)
        if trained is None:
            live.copy_(base)
            return
        step = BLOCK if live.is_cuda else SPAN
        with enough_memory(_ROOM):
            for first in range(0, live.numel(), step):
                place = slice(first, first + step)
                live[place].copy_(base[place].float() + trained[place].to(live.device))

    def _perturb_fused(self, perturbation: Perturbation, index: int) -> None:
        from esprobe.engines.triton_noise import perturb_strided  # triton comes with torch's CUDA builds only

        weight, base, trained = self._weights[index], self._base[index], self._accumulator.part(index)
        key = noise_key(perturbation.seed, weight.name, weight.numel, perturbation.noise)
        sigma = perturbation.sign * perturbation.sigma
        streamed = trained is not None and not trained.is_cuda
        with enough_memory(_ROOM):
            for block in weight.blocks(BLOCK if streamed else max(1, weight.live.numel())):
                beside = None if trained is None else trained[block.place].to(base.device)
                shape = (block.start, block.rows, block.cols, block.row_stride)
                perturb_strided(weight.live[block.place], base[block.place], key, *shape, sigma, beside)

    def _perturb_share(self, perturbation: Perturbation, share: Sequence[Span]) -> int:
        noise = np.empty(sum(span.count for span in share), np.float32)
        fill_noise(self._weights, share, perturbation.seed, perturbation.noise, noise)
        # Multiply and add round separately, as noise v1 requires; a fused multiply-add would not.
        noise *= np.float32(perturbation.sign * perturbation.sigma)
        done = 0
        for span in share:
            live, trained = self._weights[span.index].live[span.place], self._accumulator.part(span.index)
            base = self._base[span.index][span.place].float()
            if trained is not None:
                base = base + trained[span.place].to(base.device)
            added = torch.from_numpy(noise[done : done + span.count]).to(base.device)
            live.copy_(added.add_(base).to(live.dtype))
            done += span.count
        return done
