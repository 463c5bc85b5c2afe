"""The engines' own libraries on esprobe's requests: what a script without esprobe would run.

Prompts are encoded and weights switched outside the clock.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from esprobe.spec import Perturbation, Request

Work = list[tuple[Perturbation | None, list[list[Request]]]]
"""Batches by the perturbation under which they run."""


def seconds(engine: Any, work: Work) -> float:
    """Seconds of the bare library for all of ``work``."""
    prepare = {"VllmEngine": _vllm, "TransformersEngine": _transformers}[type(engine).__name__]
    spent = 0.0
    for perturbation, batches in work:
        with engine.perturbed(perturbation) if perturbation else nullcontext():
            for batch in batches:
                generate = prepare(engine, batch)
                started = time.perf_counter()
                generate()
                spent += time.perf_counter() - started
    return spent


def _vllm(engine: Any, batch: list[Request]) -> Callable[[], object]:
    """``LLM.generate`` with all requests at once, as its documentation shows."""
    from vllm import SamplingParams

    prompts = [{"prompt_token_ids": engine._codec.encode(request.prompt)} for request in batch]
    parameters = [
        SamplingParams(
            temperature=request.temperature or 0.0,
            top_p=request.top_p,
            top_k=request.top_k,
            seed=request.sampling_seed,
            max_tokens=request.max_tokens,
            stop_token_ids=engine._end_tokens,
        )
        for request in batch
    ]
    return lambda: engine._llm.generate(prompts, parameters, use_tqdm=False)


def _transformers(engine: Any, batch: list[Request]) -> Callable[[], object]:
    """``model.generate`` on one padded batch."""
    import torch
    from transformers import GenerationConfig

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

    def generate() -> None:
        with torch.inference_mode():
            engine._model.generate(input_ids=ids, attention_mask=mask, generation_config=config)

    return generate
