"""Whether a model and what perturbing and training need beside it can fit, before anything is loaded.

Refuses only what cannot fit whatever else happens: keys and values, activations and other processes come on top.
"""

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from esprobe.errors import ModelError

_ITEM_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
_GIB = 2**30


def weight_bytes(shapes: Mapping[str, tuple[int, ...]], dtype: str) -> int:
    """Bytes of one copy of a checkpoint's floating-point tensors in ``dtype``."""
    return sum(math.prod(shape) for shape in shapes.values()) * _ITEM_BYTES[dtype]


def accumulator_bytes(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Bytes of what training adds to a checkpoint's floating-point tensors: a float32 each, whatever the dtype."""
    return weight_bytes(shapes, "float32")


def host_memory() -> int | None:
    """Bytes of memory that this process may use at most, by the machine and its cgroup; None if neither tells."""
    limits = []
    with suppress(AttributeError, ValueError, OSError):  # not on this platform
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # no cgroup, or "max": no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits, default=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine has no memory left."""
    import torch

    # torch.OutOfMemoryError is a RuntimeError; its counterpart on a CPU is nothing else.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


def check_two_copies(
    name: str, weights: int, available: int, where: str, reserved: float | None = None, accumulator: int = 0
) -> None:
    """Refuse to perturb a model whose weights cannot be there twice.

    Args:
        name: the model's, for people.
        weights: bytes of one copy on the device.
        available: bytes of memory of the device.
        where: what device that is, for people.
        reserved: share of the memory that the engine takes for itself, weights included (vLLM's
            ``--gpu-memory-utilization``), so that the second copy has to fit into the rest; None if it takes none.
        accumulator: bytes that training needs besides on the same device; 0 where nothing is trained, or where the
            accumulator can lie elsewhere.

    Raises:
        ModelError: they cannot; says how much is needed, and what to change.
    """
    needs = (
        f"perturbing {name!r} needs its weights twice, the ones it computes with and a pristine copy to restore from: "
        f"2 x {weights / _GIB:.2f} GiB"
    )
    if accumulator:
        needs += f", and training 4 bytes more for each, {accumulator / _GIB:.2f} GiB"
    if 2 * weights + accumulator > available:
        raise ModelError(
            f"{needs}, and {where} has {available / _GIB:.2f} GiB; use a 16-bit --dtype, a smaller model, a larger "
            f"device, or (with vLLM) a larger --tensor-parallel-size"
        )
    if reserved is not None and weights > (1 - reserved) * available:
        most = math.floor(100 * (1 - weights / available)) / 100
        raise ModelError(
            f"{needs}; vLLM takes {reserved:g} of the {available / _GIB:.2f} GiB of {where}, which leaves "
            f"{(1 - reserved) * available / _GIB:.2f} GiB for the copy; use --gpu-memory-utilization {most:g} or less"
        )
