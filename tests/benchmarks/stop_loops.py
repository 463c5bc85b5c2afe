"""What --stop-loops saves, and which verdicts it changes: each condition drawn with it and without, on the same seeds.

python -m tests.engines.smollm2 SmolLM2
python -m tests.benchmarks.stop_loops --model SmolLM2 --dtype bfloat16
"""

import argparse
from contextlib import nullcontext
from dataclasses import replace

from esprobe.engines import EngineOptions
from esprobe.engines.vllm import VllmEngine
from esprobe.spec import Completion, Perturbation, Request
from esprobe.tasks import load_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--max-tokens", type=int, default=192)
    chosen = parser.parse_args()
    task = load_task("countdown")
    problems = task.problems[200 : 200 + chosen.problems]
    requests = [
        Request(problem.index + 1, problem.index, 42, task.prompt(problem, "chat"), chosen.max_tokens)
        for problem in problems
    ]
    options = EngineOptions(perturbs=True, max_num_seqs=chosen.problems)
    engine = VllmEngine.load(VllmEngine.identify(chosen.model, chosen.dtype), options)
    print("| condition | rollouts | ended as loops | tokens | with --stop-loops | saved | rewards changed |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    warm = [replace(request, temperature=0.8, sampling_seed=request.problem_id) for request in requests]
    for label, asked, noise in (
        ("greedy", requests, None),
        ("T=0.8", warm, None),
        ("sigma=0.005", requests, Perturbation(42, 0.005)),
        ("sigma=0.01", requests, Perturbation(42, 0.01)),
    ):
        with engine.perturbed(noise) if noise else nullcontext():
            plain = answers(engine, asked)
            ended = answers(engine, [replace(request, stop_loops=True) for request in asked])
        changed = 0
        for problem in problems:
            verdicts = (
                task.score(problem, found[problem.index].text, task.scorers[0]).reward for found in (plain, ended)
            )
            changed += len(set(verdicts)) > 1
        loops = sum(answer.finish_reason == "loop" for answer in ended.values())
        before, after = (sum(answer.token_count for answer in found.values()) for found in (plain, ended))
        print(
            f"| {label} | {len(plain)} | {loops} | {before:,} | {after:,} | {1 - after / before:.1%} | {changed} |",
            flush=True,
        )


def answers(engine: VllmEngine, requests: list[Request]) -> dict[int, Completion]:
    """Completions by problem index."""
    return {
        completion.request.problem_index: completion
        for group in engine.generate(requests, lambda: False)
        for completion in group
    }


if __name__ == "__main__":
    main()
