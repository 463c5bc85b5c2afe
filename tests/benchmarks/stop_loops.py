"""What --stop-loops saves, and which rewards it changes: each condition without it and with it, on the same seeds.

vLLM does not promise the same text in another batch, so a completion that did not end as a loop may differ too; what
that changes is counted apart.

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

CONDITIONS = ("greedy", "T=0.8", "sigma=0.005")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--conditions", nargs="+", default=CONDITIONS, help="greedy, T=... or sigma=...")
    chosen = parser.parse_args()
    task = load_task("countdown")
    problems = task.data_set(None).problems[200 : 200 + chosen.problems]
    requests = [
        Request(problem.index + 1, problem.index, 42, task.prompt(problem, "chat"), chosen.max_tokens)
        for problem in problems
    ]
    options = EngineOptions(perturbs=True, max_num_seqs=chosen.problems)
    engine = VllmEngine.load(VllmEngine.identify(chosen.model, chosen.dtype), options)
    print("| condition | rollouts | ended as loops | tokens | with it | saved | rewards changed: loops | others |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for label in chosen.conditions:
        asked = requests
        if label.startswith("T="):
            warmth = float(label.removeprefix("T="))
            asked = [replace(r, temperature=warmth, sampling_seed=r.problem_index) for r in requests]
        noise = Perturbation(42, float(label.removeprefix("sigma="))) if label.startswith("sigma=") else None
        with engine.perturbed(noise) if noise else nullcontext():
            plain = answers(engine, asked)
            ended = answers(engine, [replace(request, stop_loops=True) for request in asked])
        loops = {index for index, answer in ended.items() if answer.finish_reason == "loop"}
        changed = {
            problem.index
            for problem in problems
            if len({task.score(problem, drawn[problem.index].text, task.scorers[0]).reward for drawn in (plain, ended)})
            > 1
        }
        before, after = (sum(answer.token_count for answer in drawn.values()) for drawn in (plain, ended))
        print(
            f"| {label} | {len(plain)} | {len(loops)} | {before:,} | {after:,} | {1 - after / before:.1%} | "
            f"{len(changed & loops)} | {len(changed - loops)} |",
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
