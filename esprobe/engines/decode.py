"""Decoding a batch token by token, after its prompts are computed.

Owns which row ends when, and that rows that have ended cost nothing more. Does not know how prompts are computed or
texts are decoded. ``generate`` of transformers does the same for any model and any way of decoding; of its time on a
small model most goes into preparing each step, and a row that has ended is computed until its batch ends.
"""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import torch

from esprobe.engines.base import StopCheck
from esprobe.engines.prefill import Prefilled, forward
from esprobe.engines.transformers_names import keep_rows

_CROWD = 8
"""Rows leave once an eighth of the batch has ended: keys and values of those that stay are copied then."""


class Choice(Protocol):
    """How the next token is chosen."""

    def draw(self, scores: torch.Tensor, step: int, rows: torch.Tensor) -> torch.Tensor:
        """Tokens (alive,) from scores (alive, vocabulary) in float32.

        Args:
            scores: logits of the rows that go on.
            step: tokens that each row has generated.
            rows: (alive,) their numbers among all rows.
        """


class Greedy:
    """The likeliest token."""

    def draw(self, scores: torch.Tensor, step: int, rows: torch.Tensor) -> torch.Tensor:
        """The first of the largest scores of each row."""
        return scores.argmax(dim=-1)


class Ends(Protocol):
    """Where a row ends besides end tokens."""

    def has_stopped(self, tokens: Sequence[int]) -> bool:
        """Whether a row ends with its last token."""


def decode(
    model: Any,
    begun: Prefilled,
    choice: Choice,
    *,
    limit: int,
    end_tokens: Collection[int],
    ends: Ends | None,
    stop: StopCheck,
    cache_name: str,
) -> list[list[int]] | None:
    """Token ids generated for each row, the end token included; None if a stop came first.

    Args:
        model: a causal language model of transformers.
        begun: the batch after its prompts.
        choice: chooses each token.
        limit: the most tokens of a row.
        end_tokens: a row ends with the first of these.
        ends: where else a row ends; None for nowhere.
        stop: asked before every step.
        cache_name: what the model calls its cache, as an argument and in its output.
    """
    device, count = begun.mask.device, len(begun.mask)
    tokens: list[list[int]] = [[] for _ in range(count)]
    rows = torch.arange(count, device=device)
    going = list(range(count))  # places of the batch whose row goes on; the others wait to be taken out
    last = torch.tensor(sorted(end_tokens), device=device)
    mask = torch.cat([begun.mask, begun.mask.new_ones(count, limit)], dim=1)
    positions = begun.mask.sum(dim=1, keepdim=True)
    scores, cache, held = begun.logits, begun.cache, begun.mask.shape[1]
    with torch.inference_mode():
        for step in range(limit):
            if stop():
                return None
            drawn = choice.draw(scores, step, rows)
            found, over = drawn.tolist(), torch.isin(drawn, last).tolist()
            numbers = rows.tolist()
            for place in going:
                tokens[numbers[place]].append(found[place])
            going = [p for p in going if not over[p] and not (ends and ends.has_stopped(tokens[numbers[p]]))]
            if not going or step + 1 == limit:
                break
            ids = drawn[:, None]
            if (len(numbers) - len(going)) * _CROWD >= len(numbers):
                kept = torch.tensor(going, device=device)
                ids, positions, mask, rows = ids[kept], positions[kept], mask[kept], rows[kept]
                keep_rows(cache, kept)
                going = list(range(len(going)))
            output = forward(model, ids, mask[:, : held + step + 1], cache, cache_name, positions)
            cache, positions = output[cache_name], positions + 1
            scores = output.logits[:, -1].to(torch.float32)
    return tokens
