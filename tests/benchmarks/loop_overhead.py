"""What esprobe's loop costs: rollouts/s through the whole loop over rollouts/s of the engine's bare library.

The same requests, side by side in one run, in turn; the ratio of each round and the median are printed, and for
perturbations what a switch of the weights costs, part by part. Nothing is asserted: timings are for people.

    nox -s benchmarks
    nox -s benchmarks -- --engine vllm
"""

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Self

from esprobe.cli.progress import ConsoleObserver
from esprobe.engines import EngineOptions, StopCheck, engine_class
from esprobe.records import Extent
from esprobe.sampling.job import Job
from esprobe.sampling.loop import Loop
from esprobe.sampling.plan import Plan, Planned
from esprobe.sampling.stop import StopSignals
from esprobe.spec import Perturbation, Prompt, Request
from esprobe.store import RolloutWriter
from esprobe.tasks import load_task
from esprobe.tasks.judging import Scorer
from esprobe.tasks.scoring import DirectScoring
from esprobe.workers.work import Delivery, Work, requests_of
from esprobe.workers.worker import Worker
from tests.benchmarks import bare, switch

ARMS: dict[str, dict[str, Any]] = {
    "greedy": {"baseline": True},
    "temperature": {"baseline": False, "temperatures": (0.8,)},
    "sigma": {"baseline": False, "sigmas": (0.005,)},
}


@dataclass(frozen=True)
class Round:
    """Seconds of one job: esprobe's from the first request to the last commit, those of its switches, the library's."""

    ours: float
    switching: float
    bare: float
    rollouts: int


class Alternating:
    """A pool of one that lets the bare library answer the same requests, as soon as the loop has stored them.

    In turn by the batch, or by the unit where an engine keeps a window: a machine's clock wavers more from one second
    to the next than the loop costs.
    """

    size = 1

    def __init__(self, worker: Worker, engine: Any, prompts: Mapping[int, Prompt]) -> None:
        self.set_aside: list[Work] = []
        self.ready = worker.ready
        self.joined = [worker.ready]
        self.bare_s = self.away_s = 0.0
        self._worker, self._engine, self._prompts = worker, engine, prompts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def draw(self, works: Iterator[Work], stop: StopCheck) -> Iterator[tuple[Work, Delivery]]:
        for work in works:
            for delivery in self._worker.draw(work, stop):
                yield work, delivery
                if self.ready.batch_size is not None and delivery.completions:
                    # The weights are still those of this work.
                    self._answer_barely(None, [[completion.request for completion in delivery.completions]])
            if self.ready.batch_size is None:
                self._answer_barely(work.perturbation, requests_of(work, self._prompts))

    def _answer_barely(self, perturbation: Perturbation | None, batches: list[list[Request]]) -> None:
        started = time.perf_counter()
        self.bare_s += bare.seconds(self._engine, [(perturbation, batches)])
        self.away_s += time.perf_counter() - started


def run(engine: Any, job: Job, folder: Path) -> Round:
    """Draw, score, store and report one job that nothing is stored of yet."""
    task = load_task(job.task)
    data = task.data_set(job.data)
    problems = job.chosen_problems(data)
    identity = engine_class(job.engine).identify(job.model, job.dtype)
    database = folder / f"{time.monotonic_ns()}.db"
    with RolloutWriter.open(database) as store:
        planned = [
            Planned(store.register_condition(condition), condition, first, samples)
            for condition, first, samples in job.conditions(task, data, identity)
        ]
        prompted = [(problem, task.prompt(problem, job.prompt)) for problem in problems]
        ids = store.register_problems(task.name, "benchmark", prompted)
        plan = Plan(store, planned, {ids[problem.index]: problem.index for problem, _ in prompted})
        extents = {p.condition_id: Extent(0, len(problems), p.first_seed, p.samples, len(problems)) for p in planned}
        session = store.begin_session("benchmark", task.scorers[0], extents, {}, {}, {})
        prompts = {problem.index: prompt for problem, prompt in prompted}
        pool = Alternating(Worker(engine, identity, task, data, job.prompt, ""), engine, prompts)
        loop = Loop(
            plan=plan,
            pool=pool,
            problems=problems,
            scoring=DirectScoring(Scorer(task, task.scorers[0], print, None)),
            store=store,
            session_id=session,
            observer=ConsoleObserver(),
            stop=StopSignals(),
        )
        started = time.perf_counter()
        with redirect_stderr(StringIO()):  # progress is part of the cost, and not of what this prints
            loop.run()
        spent = time.perf_counter() - started - pool.away_s
    with closing(sqlite3.connect(database)) as connection:
        (switching,) = connection.execute("SELECT sum(switch_s) FROM work").fetchone()
    return Round(spent, switching, pool.bare_s, loop.rollouts)


def compare(arm: str, engine: Any, job: Job, folder: Path, rounds: int) -> None:
    """Print the ratio of every round, and the median."""
    run(engine, job, folder)  # warms up both
    ratios, shares = [], []
    for _ in range(rounds):
        one = run(engine, job, folder)
        ratios.append(one.bare / one.ours)
        shares.append(one.switching / one.ours)
        print(
            f"{arm}: esprobe {one.rollouts / one.ours:,.1f} rollouts/s, bare {one.rollouts / one.bare:,.1f} "
            f"rollouts/s, ratio {ratios[-1]:.3f}"
            + (f", switches {shares[-1]:.1%} of esprobe's time" if job.sigmas else ""),
            flush=True,
        )
    print(f"{arm}: median ratio esprobe / bare {statistics.median(ratios):.3f} (design: at least 0.95)")
    if job.sigmas:
        print(f"{arm}: median share of the switches {statistics.median(shares):.2%} (design: below 3 %)")
        switch.tell(engine, job.sigmas[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--arms", choices=list(ARMS), nargs="+", default=list(ARMS))
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--data", help="'generated' (default), 'es-paper' or a file")
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--samples", type=int, default=2, help="seeds of each problem: for sigma, units")
    parser.add_argument("--batch-size", type=int, default=64, help="transformers")
    parser.add_argument("--max-num-seqs", type=int, default=128, help="vllm")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if len(options.arms) > 1:
        # A process each: an engine that perturbs caches nothing, and vLLM starts once a process.
        for arm in options.arms:
            command = [sys.executable, "-m", "tests.benchmarks.loop_overhead", *sys.argv[1:], "--arms", arm]
            subprocess.run(command, check=True)
        return
    job = Job(
        command="benchmark",
        model=options.model,
        engine=options.engine,
        task="countdown",
        data=options.data,
        problems=(200, 200 + options.problems),
        samples=options.samples,
        seed=42,
        max_tokens=options.max_tokens,
        dtype=options.dtype,
        prompt="chat",
        **ARMS[options.arms[0]],
    )
    kind = engine_class(options.engine)
    running = EngineOptions(perturbs=bool(job.sigmas), batch_size=options.batch_size, max_num_seqs=options.max_num_seqs)
    engine = kind.load(kind.identify(options.model, options.dtype), running)
    with tempfile.TemporaryDirectory() as folder:
        compare(options.arms[0], engine, job, Path(folder), options.rounds)


if __name__ == "__main__":
    main()
