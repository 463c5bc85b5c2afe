"""What training adds to sampling: advancing by an iteration's update, and making a model again from its updates.

OMP_NUM_THREADS=1 python -m tests.benchmarks.updates share
OMP_NUM_THREADS=2 python -m tests.benchmarks.updates again
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from esprobe.engines import EngineOptions
from esprobe.engines.base import SNAPSHOT_S
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


def spent(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock, and of all cores together."""
    clock, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cores


def tell(what: str, seconds: tuple[float, float]) -> None:
    print(f"{seconds[0]:8.2f} s, {seconds[1]:8.2f} s of processor time: {what}")


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
    advancing = [spent(lambda i=i: engine.evolve(steps.upto(i))) for i in range(2, 9)]  # type: ignore[misc]
    drawing, advance = spent(draw), sorted(advancing)[len(advancing) // 2]
    tell(f"drawing {population} x {problems} problems greedily, at most {max_tokens} tokens", drawing)
    tell(f"advancing by an update of {population}", advance)
    clock, cores = (100 * part / whole for part, whole in zip(advance, drawing, strict=True))
    print(f"that is {clock:.1f} % by the clock, {cores:.1f} % of processor time")


def again(iterations: int, population: int) -> None:
    """Making the last model of a run."""
    trajectory = run(iterations, population)
    with TemporaryDirectory() as name:
        folder, state = Path(name), ""

        def rebuild(engine: TransformersEngine, snapshots: Path | None, write_after_s: float | None = None) -> None:
            nonlocal state
            found = engine.evolve(trajectory, snapshots, write_after_s=write_after_s)
            assert state in ("", found)
            state = found

        tell(f"making {iterations} x {population} from nothing", spent(lambda: rebuild(load(), folder, SNAPSHOT_S)))
        sizes = [path.stat().st_size / 1e6 for path in folder.iterdir()]
        print(f"{len(sizes)} snapshots of {max(sizes, default=0):.1f} MB were kept")
        tell("loading the model and making it from a snapshot", spent(lambda: rebuild(load(), folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["share", "again"])
    parser.add_argument("--population", type=int, default=30)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=500, help="of the model that is made again")
    chosen = parser.parse_args()
    if chosen.what == "share":
        share(load(), chosen.population, chosen.problems, chosen.max_tokens)
    else:
        again(chosen.iterations, chosen.population)


if __name__ == "__main__":
    main()
