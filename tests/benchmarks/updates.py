"""What training adds to sampling: advancing by an iteration's update, and making a model again from its updates.

python -m tests.benchmarks.updates
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from esprobe.engines import EngineOptions
from esprobe.engines.transformers import TransformersEngine
from esprobe.spec import Perturbation
from esprobe.tasks import load_task
from esprobe.trajectory import Trajectory, Update
from tests.engines.contract import request_for, texts

SIGMA, ALPHA = 0.004, 0.006


def run(iterations: int, population: int) -> Trajectory:
    """Updates of the size that training makes; a seed each for every member."""
    normal = np.random.default_rng(0).standard_normal((iterations, population))
    coefficients = np.float32(ALPHA / population * normal).tolist()
    seeds = np.arange(iterations * population).reshape(iterations, population).tolist()
    updates = (Update(tuple(s), tuple(c)) for s, c in zip(seeds, coefficients, strict=True))
    return Trajectory("benchmark", updates=tuple(updates))


def load() -> TransformersEngine:
    options = EngineOptions(perturbs=True, batch_size=200)
    return TransformersEngine.load(TransformersEngine.identify("tiny", "float32"), options)


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def share(engine: TransformersEngine, population: int, problems: int, max_tokens: int) -> None:
    """One iteration: drawing under every member, then advancing by the update."""
    task = load_task("countdown")
    prompts = [task.prompt(problem, "chat") for problem in task.data_set(None).problems[:problems]]
    requests = [request_for(prompt, i, max_tokens=max_tokens) for i, prompt in enumerate(prompts)]

    def draw() -> None:
        for seed in range(population):
            with engine.perturbed(Perturbation(seed, SIGMA)):
                texts(engine, requests)

    texts(engine, requests)
    steps = run(8, population)
    engine.evolve(steps.upto(1))
    advancing = [seconds(lambda i=i: engine.evolve(steps.upto(i))) for i in range(2, 9)]  # type: ignore[misc]
    drawing, advance = seconds(draw), sorted(advancing)[len(advancing) // 2]
    print(f"{drawing:8.2f} s drawing {population} x {problems} problems greedily, at most {max_tokens} tokens")
    print(f"{advance:8.2f} s advancing by an update of {population}: {100 * advance / drawing:.1f} % of that")


def again(iterations: int, population: int) -> None:
    """Making the last model of a run."""
    trajectory = run(iterations, population)
    with TemporaryDirectory() as name:
        folder, state = Path(name), ""

        def rebuild(engine: TransformersEngine, snapshots: Path | None, write: bool = False) -> None:
            nonlocal state
            found = engine.evolve(trajectory, snapshots, write=write)
            assert state in ("", found)
            state = found

        print(
            f"{seconds(lambda: rebuild(load(), folder, True)):8.2f} s making {iterations} x {population} from nothing"
        )
        files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        newest = files[-1]
        print(f"{'':11}({len(files)} snapshots of {newest.stat().st_size / 1e6:.1f} MB were kept)")
        print(f"{seconds(lambda: rebuild(load(), folder)):8.2f} s loading the model and making it from a snapshot")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--population", type=int, default=30)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=500, help="of the model that is made again")
    chosen = parser.parse_args()
    share(load(), chosen.population, chosen.problems, chosen.max_tokens)
    again(chosen.iterations, chosen.population)


if __name__ == "__main__":
    main()
