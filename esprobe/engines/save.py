"""Writing a perturbed or a trained model as an ordinary checkpoint folder, without loading an engine.

Owns the folder: weights with noise v1 or ES v1's updates by checkpoint name, in the served dtype, and the other files
that decide the model's output. Loading it gives, bit for bit, the weights of an engine under that perturbation, or
after that training.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from esprobe.engines.base import Lineage
from esprobe.engines.checkpoint import Checkpoint, find_checkpoint
from esprobe.engines.checkpoint_folder import whole_folder, write_checkpoint
from esprobe.engines.lineage import check_state
from esprobe.engines.slices import WeightSlice
from esprobe.engines.state import Sums, state_digest
from esprobe.engines.weights import PristineWeights
from esprobe.errors import UsageError
from esprobe.spec import Perturbation
from esprobe.trajectory import Trajectory

_BATCH = 1 << 28
"""Elements that are trained together, unless one tensor has more: in 16 bits, 2 GiB with their copies and sums."""


def save_perturbed(checkpoint: Checkpoint, perturbation: Perturbation, dtype: str, out: Path) -> int:
    """Write the model that ``perturbation`` names to the folder ``out``, all of it or nothing.

    Args:
        checkpoint: the unperturbed model.
        perturbation: names the model.
        dtype: the dtype that it is served in: "float16", "bfloat16" or "float32".
        out: a folder that does not exist, or is empty.

    Returns:
        Scalars perturbed, tied copies not counted.

    Raises:
        ModelError: ``out`` is not empty or cannot be written, or the checkpoint holds values that are not finite.
        UsageError: the scope matches no tensor.
    """
    with whole_folder(out) as folder:
        chosen = _in_scope(checkpoint, dtype, perturbation.scope, "perturbed")
        origin = _origin(checkpoint, dtype) | asdict(perturbation)
        _write(checkpoint, dtype, folder, origin, lambda slices: _perturb(slices, chosen, perturbation))
    return _scalars(checkpoint, chosen)


def save_lineage(lineage: Lineage, out: Path, perturbation: Perturbation | None = None) -> tuple[int, str]:
    """Write a trained model to the folder ``out``, all of it or nothing; a base that was trained itself is made first.

    Args:
        lineage: how it was trained.
        out: a folder that does not exist, or is empty.
        perturbation: noise to be added to the trained weights in the served dtype; None for none.

    Returns:
        As ``save_trained``.

    Raises:
        ModelError: as in ``save_perturbed``; or the weights are not those that the training recorded.
        UsageError: a scope matches no tensor.
    """
    with ExitStack() as stack:
        if lineage.below is None:
            checkpoint = find_checkpoint(lineage.base)
        else:
            parent = out.resolve().parent
            folder = Path(stack.enter_context(TemporaryDirectory(dir=parent if parent.is_dir() else None)))
            save_lineage(lineage.below, folder / "base")
            checkpoint = find_checkpoint(str(folder / "base"))
        return save_trained(
            checkpoint,
            lineage.trajectory,
            lineage.dtype,
            out,
            Path(lineage.snapshots),
            perturbation,
            check=partial(check_state, lineage),
            origin={"model": lineage.base, "fingerprint": lineage.base_fingerprint},
        )


def save_trained(
    checkpoint: Checkpoint,
    trajectory: Trajectory,
    dtype: str,
    out: Path,
    snapshots: Path | None = None,
    perturbation: Perturbation | None = None,
    check: Callable[[str], None] = lambda state: None,
    origin: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Write the model after a trajectory's updates, round_dtype(b + D), to the folder ``out``, all of it or nothing.

    Args:
        checkpoint: the model that was trained.
        trajectory: the updates.
        dtype: the dtype that it is served in.
        out: a folder that does not exist, or is empty.
        snapshots: a folder of accumulators to start from, as in ``Engine.evolve``.
        perturbation: noise to be added to the trained weights in the served dtype; None for none.
        check: called with the digest of the state before the folder appears; what it raises is raised.
        origin: name and fingerprint of the model that was trained, where they are not the checkpoint's own.

    Returns:
        Scalars trained or perturbed, tied copies not counted, and the digest of the state that ``Engine.evolve`` gives.

    Raises:
        ModelError: as in ``save_perturbed``.
        UsageError: a scope matches no tensor.
    """
    sums: dict[str, Sums] = {}
    with whole_folder(out) as folder:
        trained = _in_scope(checkpoint, dtype, trajectory.scope, "trained") if trajectory.updates else set()
        noisy = _in_scope(checkpoint, dtype, perturbation.scope, "perturbed") if perturbation else set()

        def change(slices: list[WeightSlice]) -> None:
            sums.update(_train(slices, trained, trajectory, snapshots))
            if perturbation is not None:
                _perturb(slices, noisy, perturbation)

        made_from = (
            _origin(checkpoint, dtype)
            | dict(origin or {})
            | {
                "recipe": trajectory.recipe,
                "iterations": len(trajectory.updates),
                "trajectory": trajectory.digest,
                **({"perturbation": asdict(perturbation)} if perturbation else {}),
            }
        )
        _write(checkpoint, dtype, folder, made_from, change)
        check(state := state_digest(sums.items()))
    return _scalars(checkpoint, trained | noisy), state


def _sources(checkpoint: Checkpoint, dtype: str) -> dict[str, str]:
    """Of every floating-point tensor the one whose noise it gets: itself, or what it is a tied copy of."""
    return {name: name for name in checkpoint.tensors} | dict(checkpoint.tied_copies(dtype))


def _in_scope(checkpoint: Checkpoint, dtype: str, scope: str | None, changed: str) -> set[str]:
    """The tensors whose name matches, tied copies not among them.

    Raises:
        UsageError: none does.
    """
    sources = set(_sources(checkpoint, dtype).values())
    chosen = {name for name in sources if re.search(scope or "", name)}
    if not chosen:
        raise UsageError(
            f"--scope {scope!r} matches none of the {len(sources)} tensors, so nothing would be {changed}; names look "
            f"like {min(sources)}"
        )
    return chosen


def _scalars(checkpoint: Checkpoint, names: Collection[str]) -> int:
    return sum(math.prod(checkpoint.tensors[name]) for name in names)


def _perturb(slices: Sequence[WeightSlice], chosen: Collection[str], perturbation: Perturbation) -> None:
    if noisy := [piece for piece in slices if piece.name in chosen]:
        PristineWeights(noisy).perturb(replace(perturbation, scope=None))  # selected by the names of their sources


def _train(
    slices: Sequence[WeightSlice], chosen: Collection[str], trajectory: Trajectory, snapshots: Path | None
) -> Iterator[tuple[str, Sums]]:
    """Train some tensors in place; yields the sums of their accumulators by name."""
    for batch in _batches([piece for piece in slices if piece.name in chosen]):
        moved = [replace(piece, live=piece.live.cuda()) for piece in batch] if torch.cuda.is_available() else batch
        for weight, sums in PristineWeights(moved).evolve(trajectory, snapshots):
            yield weight.name, sums
        for piece, done in zip(batch, moved, strict=True):
            if done is not piece:
                piece.live.copy_(done.live)


def _batches(slices: Sequence[WeightSlice]) -> Iterator[list[WeightSlice]]:
    """Tensors that are trained together: beside each there are its copy, its accumulator and its snapshot in memory."""
    batch: list[WeightSlice] = []
    for piece in slices:
        if batch and sum(held.numel for held in batch) + piece.numel > _BATCH:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _write(
    checkpoint: Checkpoint,
    dtype: str,
    folder: Path,
    origin: Mapping[str, Any],
    change: Callable[[list[WeightSlice]], None],
) -> None:
    """Write a checkpoint whose floating-point tensors were changed in place, one file at a time."""
    sources = _sources(checkpoint, dtype)

    def of_file(tensors: dict[str, torch.Tensor]) -> None:
        named = [(sources[name], tensor) for name, tensor in tensors.items() if name in sources]
        change([WeightSlice(source, tensor.numel(), 0, tensor.view(-1)) for source, tensor in named])

    write_checkpoint(checkpoint, dtype, folder, origin, of_file)


def _origin(checkpoint: Checkpoint, dtype: str) -> dict[str, Any]:
    return {"model": checkpoint.name, "fingerprint": checkpoint.fingerprint, "dtype": dtype}
