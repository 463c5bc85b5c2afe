"""ES v1's accumulator beside a model's pristine weights: what a trajectory's updates add to them, in float32.

Owns where the accumulator lies, which updates it holds, and its advance by those that it lacks, bit for bit as
``esprobe.noise.updates`` defines it; and when a snapshot is worth writing. Does not know base weights or dtypes.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from itertools import zip_longest
from logging import getLogger
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError

from esprobe.engines.memory import is_out_of_memory
from esprobe.engines.slices import Span, WeightSlice, fill_noise, in_threads, spans
from esprobe.engines.snapshots import newest_snapshot, write_snapshot
from esprobe.engines.state import Sums, state_digest, sums_of
from esprobe.errors import PerturbationError
from esprobe.noise import noise_key
from esprobe.noise.updates import by_noise
from esprobe.trajectory import Trajectory, Update

_TOGETHER = 16
"""Updates added in one pass over the accumulator: a piece is read once for all of them, and what an interrupt loses is
bounded."""

_WRITING = 10.0
"""Adding updates takes at least so many times as long as writing the snapshots of large models."""

BLOCK = 1 << 24
"""Elements that a device works on at a time where a temporary is needed: 64 MiB of float32."""

_log = getLogger(__name__)


class _Members(NamedTuple):
    """Noise to be added, in order: of each seed, what it is multiplied by, one after the other."""

    scheme: str
    terms: tuple[tuple[int, list[float]], ...]


class Accumulator:
    """D of ES v1 for every slice of a model, or nothing as long as there are no updates."""

    def __init__(self, weights: Sequence[WeightSlice], threads: Executor) -> None:
        self._weights = weights
        self._threads = threads
        self._parts: dict[int, torch.Tensor] = {}
        self._trained: tuple[str, str, str | None] | None = None  # recipe, noise and scope that ``_parts`` is for
        self._digest: str | None = None  # of the updates that it holds; None while it is changed
        self._spent_s = 0.0  # on updates since the last snapshot
        self._writing_s = 0.0  # that the last snapshot took
        self._cannot_write = False

    def part(self, index: int) -> torch.Tensor | None:
        """(rows * cols,) float32, D of the slice of that number; None where nothing is trained."""
        return self._parts.get(index)

    @property
    def indices(self) -> Iterable[int]:
        """Numbers of the slices that have a part."""
        return self._parts.keys()

    @property
    def device(self) -> str | None:
        """Where it lies; None if there is none."""
        return str(next(iter(self._parts.values())).device) if self._parts else None

    def clear(self) -> None:
        """Forget all updates, and free the memory."""
        self._parts, self._trained, self._digest = {}, None, None

    def sums(self) -> list[tuple[WeightSlice, Sums]]:
        """For the digest of the state: the slices that have a part, and its sums."""
        return [(self._weights[index], sums_of(part, self._weights[index])) for index, part in self._parts.items()]

    def advance(
        self, trajectory: Trajectory, snapshots: Path | None = None, *, write_after_s: float | None = None
    ) -> None:
        """Hold the sum of a trajectory's updates: add those that are missing, or start from a snapshot or from nothing.

        Args:
            trajectory: the updates.
            snapshots: a folder of accumulators, or None.
            write_after_s: seconds of adding updates after which to write there, if this accumulator has all of every
                tensor; None to write nothing.

        If it fails half-way it holds nothing.

        Raises:
            PerturbationError: the scope matches no tensor, or there is no memory.
        """
        if not trajectory.updates:
            self.clear()
            return
        try:
            self._advance(trajectory, snapshots, write_after_s)
        except BaseException:
            if self._digest is None:
                self.clear()  # a part of an update is no model's
            raise

    def _advance(self, trajectory: Trajectory, snapshots: Path | None, write_after_s: float | None) -> None:
        needed = 4 * sum(self._weights[index].live.numel() for index in in_scope(self._weights, trajectory.scope))
        with enough_memory(f"training needs 4 bytes more for each weight, {needed / 2**30:.2f} GiB"):
            for first in range(self._begin(trajectory, snapshots), len(trajectory.updates), _TOGETHER):
                begun = time.monotonic()
                updates = trajectory.updates[first : first + _TOGETHER]
                self._digest = None
                self._add(_members(trajectory.noise, updates))
                self._digest = trajectory.digests[first + len(updates)]
                self._spent_s += time.monotonic() - begun
                if write_after_s is None or snapshots is None:
                    continue
                if self._spent_s > max(write_after_s, _WRITING * self._writing_s):
                    self._write(trajectory.upto(first + len(updates)), snapshots)

    def _begin(self, trajectory: Trajectory, snapshots: Path | None) -> int:
        """Hold some of the trajectory's first updates; returns how many."""
        held = self._held(trajectory)
        chosen = in_scope(self._weights, trajectory.scope)
        found = None
        if snapshots is not None and held != len(trajectory.updates):
            sizes = {self._weights[index].name: self._weights[index].numel for index in chosen}
            found = newest_snapshot(snapshots, trajectory, held or 0, sizes)
        if held is not None and found is None:
            return held
        if self._trained != _trained(trajectory):
            self.clear()
            self._parts = _zeros(self._weights, chosen)
            self._trained = _trained(trajectory)
        self._digest = None
        for index, part in self._parts.items():
            if found is None:
                part.zero_()
            else:
                part.copy_(found.part(self._weights[index]))
        held = 0 if found is None else found.iterations
        self._digest, self._spent_s = trajectory.digests[held], 0.0
        return held

    def _write(self, trajectory: Trajectory, snapshots: Path) -> None:
        """Write a snapshot, unless this is a shard of the model; a run goes on without."""
        self._spent_s, begun = 0.0, time.monotonic()
        tensors = whole_tensors(self._weights, self._parts)
        if tensors is not None:
            state = state_digest((weight.name, sums) for weight, sums in self.sums())
            try:
                write_snapshot(snapshots, trajectory, state, tensors)
                self._writing_s = time.monotonic() - begun
            except (OSError, SafetensorError) as err:
                if not self._cannot_write:
                    _log.warning("no snapshots of the training in %s (%s); resuming takes longer", snapshots, err)
                self._cannot_write = True

    def _held(self, trajectory: Trajectory) -> int | None:
        """How many of the trajectory's updates it holds; None if it holds others, or was interrupted."""
        if self._digest is None or self._trained != _trained(trajectory):
            return None
        return trajectory.digests.index(self._digest) if self._digest in trajectory.digests else None

    def _add(self, members: _Members) -> None:
        on_gpu = [index for index in self._parts if self._weights[index].live.is_cuda]
        for index in on_gpu:
            self._add_on_gpu(members, index, self._parts[index])
        on_cpu = (
            span for index in self._parts if index not in on_gpu for span in spans(index, self._parts[index].numel())
        )
        in_threads(self._threads, lambda share: self._add_to_share(members, share), on_cpu)
        if on_gpu:
            torch.cuda.synchronize()  # so that the time is known, and errors are these

    def _add_to_share(self, members: _Members, share: Sequence[Span]) -> int:
        """Add all members to one share, which stays in the cache meanwhile; returns its elements."""
        places = [self._parts[span.index][span.place].numpy() for span in share]
        total = np.concatenate(places)
        noise, product = np.empty_like(total), np.empty_like(total)
        for seed, coefficients in members.terms:
            fill_noise(self._weights, share, seed, members.scheme, noise)
            for coefficient in coefficients:
                np.multiply(noise, np.float32(coefficient), out=product)
                total += product
        done = 0
        for place in places:
            place[:] = total[done : done + place.size]
            done += place.size
        return done

    def _add_on_gpu(self, members: _Members, index: int, part: torch.Tensor) -> None:
        """Add all members to one slice in one launch; if its part is in the machine's memory, block by block."""
        from esprobe.engines.triton_noise import accumulate  # triton comes with torch's CUDA builds only

        weight = self._weights[index]
        terms = [
            (noise_key(seed, weight.name, weight.numel, members.scheme), first, second)
            for seed, coefficients in members.terms
            for first, second in zip_longest(coefficients[::2], coefficients[1::2], fillvalue=0.0)
        ]
        for block in weight.blocks(max(1, weight.live.numel()) if part.is_cuda else BLOCK):
            there = part[block.place].to(weight.live.device)  # itself, if it is there
            accumulate(there, terms, block.start, block.rows, block.cols, block.row_stride)
            if not part.is_cuda:
                part[block.place].copy_(there)


def in_scope(weights: Sequence[WeightSlice], scope: str | None) -> list[int]:
    """Numbers of the slices whose tensor's name matches; all without a scope.

    Raises:
        PerturbationError: none does.
    """
    chosen = [index for index, weight in enumerate(weights) if re.search(scope or "", weight.name)]
    if not chosen:
        names = {weight.name for weight in weights}
        raise PerturbationError(
            f"the scope {scope!r} matches none of the {len(names)} tensors, so nothing would be perturbed; "
            f"names look like {min(names)}"
        )
    return chosen


def whole_tensors(weights: Sequence[WeightSlice], parts: Mapping[int, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """By name the tensors, flat and on the CPU, that parts of slices make up; None if elements of one are missing."""
    held: Counter[str] = Counter()
    for index, part in parts.items():
        held[weights[index].name] += part.numel()
    if any(held[weights[index].name] != weights[index].numel for index in parts):
        return None
    whole: dict[str, torch.Tensor] = {}
    for index, part in parts.items():
        weight = weights[index]
        if part.numel() == weight.numel:
            whole[weight.name] = part.cpu()
        else:
            flat = whole.setdefault(weight.name, torch.empty(weight.numel))
            place = flat.as_strided((weight.rows, weight.cols), (weight.row_stride, 1), weight.start)
            place.copy_(part.view(weight.rows, weight.cols))
    return whole


@contextmanager
def enough_memory(need: str) -> Iterator[None]:
    """Turn running out of memory in the body into a PerturbationError that says what was needed."""
    try:
        yield
    except (RuntimeError, MemoryError) as err:
        if not is_out_of_memory(err):
            raise
        raise PerturbationError(
            f"{need}, for which there is not enough free memory; use a 16-bit --dtype, fewer workers on this device, a "
            f"smaller --gpu-memory-utilization (with vLLM), or a smaller model"
        ) from err


def _trained(trajectory: Trajectory) -> tuple[str, str, str | None]:
    return trajectory.recipe, trajectory.noise, trajectory.scope


def _members(scheme: str, updates: Iterable[Update]) -> _Members:
    return _Members(scheme, tuple(term for update in updates for term in by_noise(*update)))


def _zeros(weights: Sequence[WeightSlice], chosen: Sequence[int]) -> dict[int, torch.Tensor]:
    """An accumulator of zeros on the weights' device; in the machine's memory if the device has none left."""

    def on(device: torch.device | str) -> dict[int, torch.Tensor]:
        return {index: torch.zeros(weights[index].live.numel(), dtype=torch.float32, device=device) for index in chosen}

    device = weights[chosen[0]].live.device
    if device.type == "cuda":
        try:
            return on(device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # the parts that did fit
    return on("cpu")
