"""Where greedy completions of two engines part, and how near the two tokens' logits are there.

Both engines decode the same prompts in batches, with the same weights. For each completion that differs, transformers
computes the logits at the first token that differs; the resolution beside the gap is the step from one number of the
dtype to the next, at the larger of the two logits.

    python -m tests.benchmarks.disagreement --model tiny
"""

import argparse
from contextlib import nullcontext

import torch

from esprobe.engines import EngineOptions
from esprobe.engines.transformers import TransformersEngine
from esprobe.engines.vllm import VllmEngine
from esprobe.spec import Perturbation, Request
from esprobe.tasks import load_task

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=32)
    chosen = parser.parse_args()
    task = load_task("countdown")
    requests = [
        Request(problem.index + 1, problem.index, 0, task.prompt(problem, "chat"), chosen.max_tokens)
        for problem in task.data_set(None).problems[200 : 200 + chosen.problems]
    ]
    ours = VllmEngine.load(
        VllmEngine.identify(chosen.model, chosen.dtype), EngineOptions(perturbs=True, max_num_seqs=BATCH)
    )
    theirs = TransformersEngine.load(TransformersEngine.identify(chosen.model, chosen.dtype), EngineOptions())
    for label, noise in (("base", None), ("sigma=0.005, seed 57", Perturbation(57, 0.005))):
        with ours.perturbed(noise) if noise else nullcontext(), theirs.perturbed(noise) if noise else nullcontext():
            same = ours.weight_digest() == theirs.weight_digest()
            rows = zip(requests, vllm_tokens(ours, requests), transformers_tokens(theirs, requests), strict=True)
            apart = [(request, one, other) for request, one, other in rows if one != other]
            print(
                f"{label}: weights {'equal' if same else 'DIFFERENT'}, {len(apart)} of {len(requests)} completions "
                f"differ",
                flush=True,
            )
            for request, one, other in apart:
                token, gap, step = parting(theirs, request, one, other)
                print(
                    f"  problem {request.problem_index}, token {token}: logits {gap:.3g} apart, resolution {step:.3g}"
                )


def vllm_tokens(engine: VllmEngine, requests: list[Request]) -> list[list[int]]:
    from vllm import SamplingParams

    prompts = [{"prompt_token_ids": engine._codec.encode(request.prompt)} for request in requests]
    greedy = SamplingParams(
        temperature=0.0, max_tokens=requests[0].max_tokens, stop_token_ids=engine._end_tokens, detokenize=False
    )
    return [list(answer.outputs[0].token_ids) for answer in engine._llm.generate(prompts, greedy, use_tqdm=False)]


def transformers_tokens(engine: TransformersEngine, requests: list[Request]) -> list[list[int]]:
    found: list[list[int]] = []
    for start in range(0, len(requests), BATCH):
        batch = requests[start : start + BATCH]
        found += engine._decode(batch, [engine._codec.encode(r.prompt) for r in batch], lambda: False) or []
    return found


def parting(engine: TransformersEngine, request: Request, one: list[int], other: list[int]) -> tuple[int, float, float]:
    """The first token that differs, the gap between its two logits, and the dtype's resolution at the larger."""
    parted = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    ids = torch.tensor([[*engine._codec.encode(request.prompt), *one[:parted]]])
    with torch.no_grad():
        logits = engine._model(input_ids=ids).logits[0, -1]
    pair = logits[[one[parted], other[parted]]]
    larger = pair.abs().max()
    step = float(torch.nextafter(larger, torch.full_like(larger, torch.inf)) - larger)
    return parted, float((pair[0].float() - pair[1].float()).abs()), step


if __name__ == "__main__":
    main()
