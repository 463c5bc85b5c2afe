"""Train the bundled model: ``python -m esprobe.bundled.training.train --exclude countdown.json``.

Owns architecture, recipe and the record of a training. Does not know engines, sampling or stores. The shipped
model is left unfinished on purpose: it solves some problems greedily and many more when sampled, so that pass@k
curves have room to rise. Needs torch and transformers, about 10 minutes of one core.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
import transformers

from esprobe.bundled import TINY
from esprobe.bundled.training import tokenizer
from esprobe.bundled.training.curriculum import STREAM_SEED, curriculum
from esprobe.bundled.training.measure import accuracy, render
from esprobe.spec import Problem
from esprobe.tasks.countdown.generate import Solvable

WEIGHTS_SEED = 0
ORDER_SEED = 1
BATCH = 256
PEAK_RATE = 2e-3
WARMUP_STEPS = 50
EVALUATE_EVERY = 100
IGNORED = -100


@dataclass(frozen=True)
class Example:
    """Token ids of one prompt and of the completion to learn."""

    prompt: list[int]
    completion: list[int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write the checkpoint folder and its ``training.json``."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    problems = curriculum(options.exclude)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(options.out)
    configuration().save_pretrained(options.out)
    coder = transformers.AutoTokenizer.from_pretrained(options.out)
    model = new_model()
    say(f"{sum(p.numel() for p in model.parameters()):,} weights, {len(problems.training):,} training problems")

    validation = [as_problem(solvable) for solvable in problems.validation]
    curve: dict[int, float] = {}
    for step, loss in enumerate(train(model, coder, problems.training, options.steps), start=1):
        if step % 20 == 0:
            say(f"step {step}  loss {loss:.4f}  {time.monotonic() - started:.0f} s")
        if step % EVALUATE_EVERY == 0 or step == options.steps:
            curve[step] = accuracy(model, coder, validation)
            say(f"step {step}  greedy accuracy {curve[step]:.3f}")
    elapsed_s = time.monotonic() - started

    model.half().save_pretrained(options.out)
    record = {
        "stream_seed": STREAM_SEED,
        "weights_seed": WEIGHTS_SEED,
        "order_seed": ORDER_SEED,
        "steps": options.steps,
        "batch": BATCH,
        "peak_learning_rate": PEAK_RATE,
        "training_problems": len(problems.training),
        "training_digest": problems.training_digest,
        "validation_problems": len(problems.validation),
        "excluded_digests": problems.excluded,
        "validation_greedy_accuracy": curve,
        "elapsed_s": round(elapsed_s),
        "threads": options.threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """The script's options; the defaults are the shipped recipe."""
    options = argparse.ArgumentParser(description="Train the model that ships with esprobe.")
    options.add_argument("--exclude", type=Path, nargs="*", default=[], help="data files whose problems to keep out")
    options.add_argument("--out", type=Path, default=TINY, help="checkpoint folder to write")
    options.add_argument("--steps", type=int, default=300, help="batches of 256 to train for")
    options.add_argument("--threads", type=int, default=1, help="CPU threads; one adds in one order")
    return options


def configuration() -> Any:
    """The architecture: about one million weights, as Qwen2 arranges them."""
    coder = tokenizer.build()
    return transformers.Qwen2Config(
        vocab_size=coder.get_vocab_size(),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=512,
        max_position_embeddings=tokenizer.MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=coder.token_to_id(tokenizer.END),
        pad_token_id=coder.token_to_id(tokenizer.PADDING),
    )


def new_model() -> Any:
    """An untrained model, the same for the same torch."""
    torch.manual_seed(WEIGHTS_SEED)
    return transformers.Qwen2ForCausalLM(configuration()).float()


def example(coder: Any, problem: Problem, solution: str) -> Example:
    """A problem as the task puts it and the answer that the es-paper scorer pays in full, with no thinking."""
    answer = f"{tokenizer.THOUGHT}{solution}{tokenizer.ANSWERED}{tokenizer.END}"
    return Example(
        prompt=coder(render(coder, problem), add_special_tokens=False)["input_ids"],
        completion=coder(answer, add_special_tokens=False)["input_ids"],
    )


def as_problem(solvable: Solvable) -> Problem:
    """A training problem in the task's form; its index names nothing."""
    inputs = {"numbers": list(solvable.numbers), "target": str(solvable.target)}
    return Problem(index=0, inputs=inputs, group="")


def train(model: Any, coder: Any, problems: Sequence[Solvable], steps: int) -> Iterator[float]:
    """Learn for ``steps`` batches; yields each batch's loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    batches = shuffled_batches(problems)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate(step, steps)
        model.train()
        tokens, labels = tensors([example(coder, as_problem(p), p.solution) for p in next(batches)], coder.pad_token_id)
        # Padding is on the right, and attention looks left: no mask is needed, which is the fast path.
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1].flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield loss.item()


def rate(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine down to nothing."""
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)))


def shuffled_batches(problems: Sequence[Solvable]) -> Iterator[list[Solvable]]:
    """Batches without end, each pass over the problems in a new order."""
    rng = Random(ORDER_SEED)
    while True:
        order = sorted(range(len(problems)), key=lambda _: rng.random())
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield [problems[i] for i in order[start : start + BATCH]]


def tensors(examples: Sequence[Example], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, both (batch, longest); only completions have labels."""
    longest = max(len(e.prompt) + len(e.completion) for e in examples)
    tokens = torch.full((len(examples), longest), padding)
    labels = torch.full((len(examples), longest), IGNORED)
    for row, e in enumerate(examples):
        start, end = len(e.prompt), len(e.prompt) + len(e.completion)
        tokens[row, :end] = torch.tensor(e.prompt + e.completion)
        labels[row, start:end] = torch.tensor(e.completion)
    return tokens, labels


def say(line: str) -> None:
    """Progress, as it happens."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
