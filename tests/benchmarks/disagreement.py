"""Where greedy completions of two engines part, and how near the two tokens' logits are there.

Both engines decode the same prompts with the same weights; for each completion that differs, transformers computes the
logits at the first token that differs.

    python -m tests.benchmarks.disagreement --model tiny
"""

import argparse
from contextlib import nullcontext
from typing import Any

import torch

from esprobe.engines import EngineOptions
from esprobe.engines.transformers import TransformersEngine
from esprobe.engines.vllm import VllmEngine
from esprobe.spec import Perturbation, Prompt
from esprobe.tasks import load_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=32)
    chosen = parser.parse_args()
    task = load_task("countdown")
    prompts = [task.prompt(problem, "chat") for problem in task.problems[200 : 200 + chosen.problems]]
    options = EngineOptions(perturbs=True, max_num_seqs=64)
    ours = VllmEngine.load(VllmEngine.identify(chosen.model, chosen.dtype), options)
    theirs = TransformersEngine.load(TransformersEngine.identify(chosen.model, chosen.dtype), EngineOptions())
    for label, noise in (("base", None), ("sigma=0.005, seed 57", Perturbation(57, 0.005))):
        with ours.perturbed(noise) if noise else nullcontext(), theirs.perturbed(noise) if noise else nullcontext():
            same = ours.weight_digest() == theirs.weight_digest()
            found = [tokens(engine, prompts, chosen.max_tokens) for engine in (ours, theirs)]
            gaps = [gap(theirs, prompt, a, b) for prompt, a, b in zip(prompts, *found, strict=True) if a != b]
        print(
            f"{chosen.model} {chosen.dtype}, {label}: weights {'equal' if same else 'DIFFERENT'}, "
            f"{len(gaps)} of {len(prompts)} completions differ"
            + (f"; logit gaps there: {', '.join(f'{g:.2g} of {size:.3g}' for g, size in gaps)}" if gaps else ""),
            flush=True,
        )


def tokens(engine: Any, prompts: list[Prompt], count: int) -> list[tuple[int, ...]]:
    """Greedy tokens of each prompt up to its end."""
    rows = [reading.tokens for reading in engine.probe(prompts, count)]
    ends = set(engine._end_tokens)
    return [row[: next((i + 1 for i, token in enumerate(row) if token in ends), len(row))] for row in rows]


def gap(
    engine: TransformersEngine, prompt: Prompt, one: tuple[int, ...], other: tuple[int, ...]
) -> tuple[float, float]:
    """Between the two tokens' logits where the rows part, and the larger of them."""
    parted = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    ids = torch.tensor([[*engine._codec.encode(prompt), *one[:parted]]])
    with torch.no_grad():
        logits = engine._model(input_ids=ids).logits[0, -1].float()
    first, second = (float(logits[row[parted]]) for row in (one, other))
    return abs(first - second), max(abs(first), abs(second))


if __name__ == "__main__":
    main()
