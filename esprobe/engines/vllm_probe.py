"""Readings of vLLM for the doctor: what it answers, with log-probabilities, for prompts of chosen lengths."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from esprobe.engines.probe import LIKELIEST, Reading
from esprobe.engines.vllm_names import request_types

Noise = Callable[[], AbstractContextManager[int]]


def read_together(
    engine: Any,
    step: Callable[[], list[Any]],
    prompts: Sequence[Sequence[int]],
    steps: int,
    decoding: Noise | None = None,
) -> list[Reading]:
    """Greedy tokens and the largest log-probabilities of prompts that are sent together.

    An engine in this process reads them together and then decodes them together, if they fit into one step. One in its
    own process may take them in parts.

    Args:
        engine: the ``LLMEngine``.
        step: makes one step of it and returns its outputs.
        prompts: token ids of each.
        steps: tokens to generate for each.
        decoding: noise to enter once every prompt has been read, and to leave at the end.
    """
    types = request_types()
    parameters = types.parameters(
        temperature=0.0,
        max_tokens=steps,
        ignore_eos=True,
        logprobs=LIKELIEST,
        detokenize=False,
        output_kind=types.output_kind.CUMULATIVE,  # shows when the prompt has been read
    )
    answers: dict[str, Any] = {}
    with ExitStack() as weights:
        for number, prompt in enumerate(prompts):
            engine.add_request(f"probe{number}", types.tokens(list(prompt)), parameters)
        while engine.has_unfinished_requests():
            for output in step():
                answers[output.request_id] = output.outputs[0]
            if decoding is not None and len(answers) == len(prompts):
                weights.enter_context(decoding())
                decoding = None
    return [_reading(answers[f"probe{number}"]) for number in range(len(prompts))]


def _reading(drawn: Any) -> Reading:
    rows = [sorted((entry.logprob for entry in step.values()), reverse=True)[:LIKELIEST] for step in drawn.logprobs]
    return Reading(tuple(drawn.token_ids), tuple(map(tuple, rows)))
