"""Computing the prompts of a batch before its first token: each distinct prompt once, and what all share once.

Owns the order of tokens and padding in a batch, and how often each prompt is computed. Does not know how tokens are
chosen. Most of a short completion's time is its prompt's: sixteen seeds of one problem have one prompt, and the prompts
of all problems begin alike.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from os.path import commonprefix
from typing import Any

import torch

from esprobe.engines.transformers_names import keep_rows


@dataclass
class Prefilled:
    """A batch whose prompts are computed.

    Attributes:
        mask: (rows, columns) int64, 1 for tokens of the prompt, 0 for padding.
        cache: keys and values of all columns.
        logits: (rows, vocabulary) float32 of each row's next token.
    """

    mask: torch.Tensor
    cache: Any
    logits: torch.Tensor


def prefill(model: Any, prompts: Sequence[Sequence[int]], pad: int, cache_name: str) -> Prefilled:
    """Compute the keys and values of a batch of prompts.

    A row is the tokens that all prompts begin with, padding, and the rest of its own, so that every row's next token
    has the same column. Positions do not count padding. Models whose attention reaches back a number of columns get the
    padding first, because it would push the shared beginning out of reach.

    Args:
        model: a causal language model of transformers.
        prompts: token ids of each row, at least one token each.
        pad: the token of padding.
        cache_name: what the model calls its cache, as an argument and in its output.
    """
    device = model.device
    distinct = {tuple(prompt): None for prompt in prompts}
    rows = {prompt: row for row, prompt in enumerate(distinct)}
    longest = max(map(len, distinct))
    shared = commonprefix(list(distinct)) if _reaches_back_to_all(model) else ()
    begin = min(len(shared), min(map(len, distinct)) - 1)  # each row keeps a token, whose logits are wanted
    gaps = [longest - len(prompt) for prompt in distinct]
    ids = torch.tensor(
        [[*prompt[:begin], *([pad] * gap), *prompt[begin:]] for prompt, gap in zip(distinct, gaps, strict=True)],
        device=device,
    )
    columns = torch.arange(longest, device=device)
    gap = torch.tensor(gaps, device=device)[:, None]
    mask = ((columns < begin) | (columns >= begin + gap)).long()
    held, done = None, 0
    with torch.inference_mode():
        if begin and len(distinct) > 1:
            held, done = _computed(model, ids[:1, :begin], mask[:1, :begin], None, cache_name)[cache_name], begin
            keep_rows(held, torch.zeros(len(distinct), dtype=torch.long, device=device))
        output = _computed(model, ids[:, done:], mask, held, cache_name)
        held, logits = output[cache_name], output.logits[:, -1].to(torch.float32)
        if len(distinct) < len(prompts):
            chosen = torch.tensor([rows[tuple(prompt)] for prompt in prompts], device=device)
            mask, logits = mask[chosen], logits[chosen]
            keep_rows(held, chosen)
    return Prefilled(mask, held, logits)


def forward(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, cache: Any, cache_name: str, positions: torch.Tensor
) -> Any:
    """The model's output for ``ids`` (rows, columns), which follow those in ``cache``, with the last column's logits.

    Args:
        model: a causal language model of transformers.
        ids: the tokens.
        mask: (rows, all columns so far) 0 where a column is padding.
        cache: keys and values of earlier columns, which are added to; None for none.
        cache_name: what the model calls its cache, as an argument and in its output.
        positions: (rows, columns) the tokens' positions.
    """
    kind: Any = type(model)
    known = _parameters(kind)
    given: dict[str, Any] = {cache_name: cache} if cache is not None else {}
    if "position_ids" in known:
        given["position_ids"] = positions
    if "logits_to_keep" in known:
        given["logits_to_keep"] = 1  # a vocabulary's logits for each column of a prompt would take long
    return model(input_ids=ids, attention_mask=mask, use_cache=True, **given)


@cache
def _parameters(kind: Any) -> frozenset[str]:
    return frozenset(inspect.signature(kind.forward).parameters)


def _computed(model: Any, ids: torch.Tensor, mask: torch.Tensor, held: Any, cache_name: str) -> Any:
    """The output for ``ids``, which follow those in ``held``; ``mask`` covers both."""
    positions = (mask.cumsum(-1) - 1).clamp_(min=0)[:, -ids.shape[1] :]
    return forward(model, ids, mask, held, cache_name, positions)


def _reaches_back_to_all(model: Any) -> bool:
    """Whether every layer attends to all earlier tokens, and not to a window of columns."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return set(kinds) == {"full_attention"}
    return not getattr(config, "sliding_window", None)
