"""Accumulators on disk, so that a run goes on without adding all of its updates again: a cache, never the truth.

Owns the files: which one is the newest of a trajectory, whether it is what it says, and which may be deleted. Their
tensors are D of ES v1, float32 by checkpoint name, flat, so that every engine can read what another one wrote.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from esprobe.atomic_file import replacing
from esprobe.engines.slices import WeightSlice
from esprobe.engines.state import state_digest, sums_of
from esprobe.trajectory import Trajectory

_KEPT = 2
"""Files of a run that stay: the newest, and one before it in case that one is damaged."""

_SUFFIX = ".safetensors"
_BROKEN = (OSError, SafetensorError, ValueError, KeyError, TypeError)
_checked: set[tuple[str, int, int, int]] = set()
"""Files (path, inode, size, time) whose numbers this process has compared with their digest: a checkpoint in many parts
is trained part by part."""
_log = getLogger(__name__)


class Snapshot:
    """A file whose content has been checked against the digest of the state in it."""

    def __init__(self, path: Path, iterations: int, trajectory: Trajectory, sizes: Mapping[str, int]) -> None:
        """Open and check the file.

        Args:
            path: the file.
            iterations: how many of the trajectory's updates it should hold.
            trajectory: the run that it should be of.
            sizes: elements of the tensors that are wanted of it, by name.

        Raises:
            ValueError: it is another run's, or damaged; so do OSError, SafetensorError, KeyError and TypeError.
        """
        self.iterations = iterations
        file: Any = safe_open(path, framework="pt")
        self._file = file
        told = json.loads((file.metadata() or {})["esprobe"])
        if told["trained"] != _trained(trajectory, iterations):
            raise ValueError("it is of another run")
        lacking = sorted(name for name, size in sizes.items() if file.get_slice(name).get_shape() != [size])
        if lacking:
            raise ValueError(f"{lacking[0]} has another size")
        entry = path.stat()
        checked = (str(path.resolve()), entry.st_ino, entry.st_size, entry.st_mtime_ns)
        if checked not in _checked:
            flats = ((name, self._tensor(name)) for name in file.keys())  # noqa: SIM118 - safe_open is no mapping
            sums = ((name, sums_of(flat, WeightSlice(name, flat.numel(), 0, flat))) for name, flat in flats)
            if state_digest(sums) != told["state"]:
                raise ValueError("its numbers are not those that were written")
            _checked.add(checked)

    def part(self, weight: WeightSlice) -> torch.Tensor:
        """(rows * cols,) float32: the accumulator of one slice."""
        flat = self._tensor(weight.name)
        return flat.as_strided((weight.rows, weight.cols), (weight.row_stride, 1), weight.start).reshape(-1)

    def _tensor(self, name: str) -> torch.Tensor:
        found: torch.Tensor = self._file.get_tensor(name)
        if found.dtype != torch.float32 or found.dim() != 1:
            raise ValueError(f"{name} is no list of float32 numbers")
        return found


def newest_snapshot(folder: Path, trajectory: Trajectory, held: int, sizes: Mapping[str, int]) -> Snapshot | None:
    """The snapshot with the most updates of the trajectory, if that is more than ``held``.

    Files that cannot be used are passed over with a warning.
    """
    try:
        there = {path.name for path in folder.iterdir()}
    except OSError:
        return None  # no folder yet; if it cannot be made, writing will say so
    for iterations in range(len(trajectory.updates), held, -1):
        name = trajectory.digests[iterations] + _SUFFIX
        if name in there:
            try:
                return Snapshot(folder / name, iterations, trajectory, sizes)
            except _BROKEN as err:
                _log.warning("%s is passed over (%s); delete it", folder / name, err)
    return None


def write_snapshot(folder: Path, trajectory: Trajectory, state: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write the accumulator after a trajectory's updates, and delete the run's older files but one.

    Args:
        folder: made if it does not exist.
        trajectory: what the accumulator holds.
        state: digest of the state (``esprobe.engines.state``).
        tensors: D, by checkpoint name, each (numel,) float32 on the CPU.

    Raises:
        OSError: it cannot be written; so does SafetensorError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (trajectory.digest + _SUFFIX)
    told = json.dumps({"trained": _trained(trajectory, len(trajectory.updates)), "state": state})
    with replacing(target) as draft:
        mode = draft.stat().st_mode
        save_file(dict(tensors), draft, {"format": "pt", "esprobe": told})
        draft.chmod(mode)  # safetensors writes files that only their owner may read
    mine = [path for path in folder.glob("*" + _SUFFIX) if _recipe(path) == trajectory.recipe]
    for old in sorted(mine, key=_written, reverse=True)[_KEPT:]:
        old.unlink(missing_ok=True)


def _trained(trajectory: Trajectory, iterations: int) -> dict[str, str | int | None]:
    digest = trajectory.digests[iterations]
    return {
        "recipe": trajectory.recipe,
        "noise": trajectory.noise,
        "scope": trajectory.scope,
        "iterations": iterations,
        "digest": digest,
    }


def _recipe(path: Path) -> str | None:
    """Of which run a file is; None if it does not tell."""
    with suppress(*_BROKEN), safe_open(path, framework="pt") as file:
        recipe: str = json.loads(file.metadata()["esprobe"])["trained"]["recipe"]
        return recipe
    return None


def _written(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0
