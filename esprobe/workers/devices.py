"""Assigning devices to workers."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from esprobe.errors import UsageError

_MOST_PER_CORE = 4
"""More is surely a mistake: engines without a GPU share the cores, and each holds its own model in memory."""


def visible_gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    if find_spec("torch") is None:
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def environments(
    gpus: Sequence[str], workers: int | None, per_gpu: int, gpus_per_worker: int
) -> list[Mapping[str, str]]:
    """The environment variables of each worker; without ``workers``, as many workers as fit on the GPUs.

    Raises:
        UsageError: there are not enough GPUs, or, without any, far too few cores.
    """
    if not gpus:
        count = workers or 1
        check_cores(count)
        # Waiting threads spin: with all cores for every worker, most of the speed would be lost.
        threads = str(max((os.cpu_count() or 1) // count, 1))
        return [{"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}] * count
    groups = [gpus[start : start + gpus_per_worker] for start in range(0, len(gpus), gpus_per_worker)]
    groups = [group for group in groups if len(group) == gpus_per_worker]
    if not groups:
        raise UsageError(
            f"--tensor-parallel-size {gpus_per_worker} needs {gpus_per_worker} GPUs, and {len(gpus)} are visible here "
            f"(CUDA_VISIBLE_DEVICES limits that); use --tensor-parallel-size {len(gpus)} or less"
        )
    room = len(groups) * per_gpu
    if workers is not None and workers > room:
        raise UsageError(
            f"--workers {workers} do not fit on the {len(gpus)} visible GPUs; use --workers {room} or "
            f"less, or let more of them share a GPU with --workers-per-gpu"
        )
    return [{"CUDA_VISIBLE_DEVICES": ",".join(groups[number % len(groups)])} for number in range(workers or room)]


def check_cores(workers: int) -> None:
    """Refuse more engines than this machine could run or hold.

    Raises:
        UsageError: there are far too few cores.
    """
    cores = os.cpu_count() or 1
    if workers > cores * _MOST_PER_CORE:
        raise UsageError(
            f"--workers {workers:,} do not fit on the {cores} cores of this machine (each is a process with its own "
            f"model); use --workers {cores} or less"
        )
