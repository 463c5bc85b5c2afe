"""What several workers gain: rollouts/s of two over those of one, on the transformers engine and the bundled model.

One thread each, the same rollouts, in turn, several times; medians and the ratio of each round are printed. Nothing is
asserted: timings are for people. Loading is left out on both sides. One worker is timed before and after every two, and
the mean of both is what they are compared with, because a machine's speed drifts.

    nox -s benchmarks_workers
"""

import argparse
import os
import statistics
import tempfile
from importlib.util import find_spec
from pathlib import Path

from esprobe.cli.progress import ConsoleObserver
from esprobe.sampling.job import Job
from esprobe.sampling.observer import Progress
from esprobe.sampling.run import run
from esprobe.sampling.stop import StopSignals
from esprobe.workers.pool import PoolOptions

ARMS = {
    "temperature 0.8": {"temperatures": (0.8,), "samples": 48, "problems": (200, 320)},
    "sigma 0.005": {"sigmas": (0.005,), "samples": 16, "problems": (200, 520)},
}


class Last(ConsoleObserver):
    """Keeps the last progress; says nothing of the model's checks."""

    seen: Progress

    def notice(self, message: str) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        self.seen = progress


def rate(arm: dict[str, object], pool: PoolOptions) -> float:
    """Rollouts/s from the first request to the last commit."""
    settings: dict[str, object] = {
        "command": "benchmark",
        "model": "tiny",
        "engine": "transformers",
        "task": "countdown",
        "data": None,
        "seed": 42,
        "max_tokens": 64,
        "dtype": "auto",
        "prompt": "chat",
        "baseline": False,
        "pool": pool,
    }
    observer = Last()
    with tempfile.TemporaryDirectory() as folder:
        run(Job(**(settings | arm)), Path(folder) / "e.db", observer, StopSignals())  # type: ignore[arg-type]
    return observer.seen.rollouts / observer.seen.elapsed_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", choices=ARMS, action="append", help="only this one; repeatable")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is imported, here and in the workers
    import torch

    print(f"{torch.get_num_threads()} thread each", flush=True)
    crews = {f"{options.workers} processes": PoolOptions(workers=options.workers)}
    if find_spec("ray") is not None:
        crews[f"{options.workers} Ray actors"] = PoolOptions(workers=options.workers, ray="local")
    for name in options.arm or ARMS:
        arm = ARMS[name]
        ratios: dict[str, list[float]] = {pool: [] for pool in crews}
        after = rate(arm, PoolOptions(workers=1))
        for _ in range(options.rounds):
            for pool, chosen in crews.items():
                before, together, after = after, rate(arm, chosen), rate(arm, PoolOptions(workers=1))
                alone = (before + after) / 2
                ratios[pool].append(together / alone)
                print(
                    f"{name}: {pool} {together:,.1f} rollouts/s, one {alone:,.1f} rollouts/s, "
                    f"ratio {together / alone:.2f}",
                    flush=True,
                )
        for pool, found in ratios.items():
            median = statistics.median(found)
            print(f"{name}: median ratio {pool} / one {median:.2f} (design: at least 1.6)", flush=True)


if __name__ == "__main__":
    main()
