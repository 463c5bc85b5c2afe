"""What esprobe's loop costs: rollouts/s through the whole command over rollouts/s of bare ``model.generate``.

The same batches, side by side in one run, in turn, several times; medians and the ratio of each pair are printed.
Nothing is asserted: timings are for people.

    nox -s benchmarks
"""

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from transformers import GenerationConfig

from esprobe.cli.progress import ConsoleObserver
from esprobe.engines import EngineOptions
from esprobe.engines.transformers import TransformersEngine
from esprobe.fleet.crew import Solo
from esprobe.fleet.work import requests_of
from esprobe.fleet.worker import Worker
from esprobe.records import Extent
from esprobe.sampling.job import Job
from esprobe.sampling.loop import Loop
from esprobe.sampling.plan import Plan, Planned
from esprobe.sampling.stop import StopSignals
from esprobe.spec import Perturbation, Request
from esprobe.store import RolloutWriter
from esprobe.tasks import load_task

Work = list[tuple[Perturbation | None, list[list[Request]]]]
"""Batches by the perturbation under which they run."""


def bare(engine: TransformersEngine, work: Work) -> float:
    """Seconds of ``model.generate`` alone: tensors are made and weights switched outside the clock."""
    spent = 0.0
    for perturbation, batches in work:
        with engine.perturbed(perturbation) if perturbation else nullcontext():
            for batch in batches:
                prompts = [engine._codec.encode(request.prompt) for request in batch]
                longest, pad = max(map(len, prompts)), engine._end_tokens[0]
                ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts])
                mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
                sampled = batch[0].temperature is not None
                config = GenerationConfig(
                    do_sample=sampled,
                    temperature=batch[0].temperature if sampled else None,
                    max_new_tokens=batch[0].max_tokens,
                    eos_token_id=engine._end_tokens,
                    pad_token_id=pad,
                )
                started = time.perf_counter()
                with torch.inference_mode():
                    engine._model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
                spent += time.perf_counter() - started
    return spent


def through_esprobe(engine: TransformersEngine, job: Job, folder: Path) -> tuple[float, Work]:
    """Seconds from the first request to the last commit, and what was run."""
    task = load_task(job.task, job.data)
    problems = job.chosen_problems(task)
    identity = TransformersEngine.identify(job.model, job.dtype)
    with RolloutWriter.open(folder / f"{time.monotonic_ns()}.db") as store:
        planned = [
            Planned(store.register_condition(condition), condition, first, samples)
            for condition, first, samples in job.conditions(task, identity)
        ]
        prompted = [(problem, task.prompt(problem, job.prompt)) for problem in problems]
        ids = store.register_problems(task.name, "benchmark", prompted)
        plan = Plan(store, planned, {ids[problem.index]: problem.index for problem, _ in prompted})
        prompts = {problem.index: prompt for problem, prompt in prompted}
        works = plan.works(engine.batch_size, workers=1)
        bare_work = [(work.perturbation, requests_of(work, prompts)) for work in works]
        extents = {p.condition_id: Extent(0, len(problems), p.first_seed, p.samples, len(problems)) for p in planned}
        session = store.begin_session("benchmark", task.scorers[0], extents, {}, {}, {})
        loop = Loop(
            plan=plan,
            crew=Solo(Worker(engine, identity, task, job.prompt)),
            task=task,
            scorer=task.scorers[0],
            store=store,
            session_id=session,
            observer=ConsoleObserver(),
            stop=StopSignals(),
        )
        started = time.perf_counter()
        loop.run()
        return time.perf_counter() - started, bare_work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    engine = TransformersEngine.load(
        TransformersEngine.identify(options.model, "auto"), EngineOptions(batch_size=options.batch_size)
    )
    arms = {
        "greedy": {"baseline": True},
        "temperature 0.8": {"baseline": False, "temperatures": (0.8,)},
        "sigma 0.005": {"baseline": False, "sigmas": (0.005,)},
    }
    for arm, chosen in arms.items():
        job = Job(
            command="benchmark",
            model=options.model,
            engine="transformers",
            task="countdown",
            data=None,
            problems=(200, 200 + options.problems),
            samples=1,
            seed=42,
            max_tokens=options.max_tokens,
            dtype="auto",
            prompt="chat",
            **chosen,
        )
        with tempfile.TemporaryDirectory() as folder:
            compare(arm, engine, job, Path(folder), options.rounds)


def compare(arm: str, engine: TransformersEngine, job: Job, folder: Path, rounds: int) -> None:
    """Run both in turn, in the other order every second time, so that a drift of the machine favours neither."""
    _, work = through_esprobe(engine, job, folder)  # warms up both
    bare(engine, work)
    rollouts = sum(len(batch) for _, batches in work for batch in batches)
    ratios = []
    for number in range(rounds):
        if number % 2:
            ours, theirs = through_esprobe(engine, job, folder)[0], bare(engine, work)
        else:
            theirs, ours = bare(engine, work), through_esprobe(engine, job, folder)[0]
        ratios.append(theirs / ours)
        print(
            f"{arm}: esprobe {rollouts / ours:,.1f} rollouts/s, bare generate {rollouts / theirs:,.1f} rollouts/s, "
            f"ratio {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"{arm}: median ratio esprobe / bare generate {statistics.median(ratios):.3f} (design: at least 0.95)")


if __name__ == "__main__":
    main()
