"""Time of a standard normal of noise v1 in numpy, on one thread, and over that of another version of the code.

    git show 899531d:esprobe/noise.py > before.py
    python -m tests.benchmarks.noise --beside before.py

Both take turns, so that what else the machine does meets both. Printed, never asserted.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from esprobe.noise import standard_normal


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--beside", type=Path, help="a file with a standard_normal of its own")
    parser.add_argument("--normals", type=int, default=1 << 20, help="in each turn")
    parser.add_argument("--turns", type=int, default=30)
    chosen = parser.parse_args()
    versions = {"this": standard_normal}
    if chosen.beside:
        versions["beside"] = _loaded(chosen.beside).standard_normal
    times: dict[str, list[float]] = {name: [] for name in versions}
    changed = 0
    for turn in range(-2, chosen.turns):
        drawn = {}
        for name, version in versions.items():
            seconds, drawn[name] = _timed(version, turn + 2, chosen.normals)
            if turn >= 0:  # the first two fetch memory and tables
                times[name].append(seconds)
        changed += sum(int((noise != drawn["this"]).sum()) for noise in drawn.values())
    for name, seconds in times.items():
        print(f"{name:8}{1e9 * statistics.median(seconds) / chosen.normals:6.2f} ns a normal")
    if chosen.beside:
        ratios = [this / other for this, other in zip(times["this"], times["beside"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        total = chosen.normals * (chosen.turns + 2)
        print(f"ratio   {middle:6.3f} (half of the turns: {low:.3f} to {high:.3f}); {changed} of {total:,} differ")


def _timed(version: Callable[..., "np.ndarray[Any, Any]"], seed: int, count: int) -> "tuple[float, np.ndarray]":
    begun = time.perf_counter()
    noise = version(seed, "model.layers.0.mlp.down_proj.weight", 0, count)
    return time.perf_counter() - begun, noise


def _loaded(path: Path) -> Any:
    spec = spec_from_file_location("beside", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
