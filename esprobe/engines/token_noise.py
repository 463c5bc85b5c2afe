"""Sampling a token from each rollout's own random numbers.

Owns temperature, top-k, top-p and the draw. A rollout's token noise comes from its sampling seed alone, so it does not
depend on its neighbours in the batch, on torch's global generator or on the device: one uniform number per token from
numpy's Philox4x64 is turned into a token by inverting the distribution's cumulative sum.

Why not an exponential race with one torch generator per rollout: torch's CPU generator keeps only the low 32 bits of a
seed (two million rollouts would share about 470 pairs of streams), its CUDA generator gives other numbers, and a race
needs as many numbers per token as there are words in the vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from esprobe.spec import Request


class TokenNoise:
    """Draws each row's next token with its own uniform number."""

    def __init__(self, requests: Sequence[Request], device: torch.device) -> None:
        first = requests[0]
        assert first.temperature is not None
        self._warpers: list[Any] = [TemperatureLogitsWarper(float(first.temperature))]
        if first.top_k > 0:
            self._warpers.append(TopKLogitsWarper(first.top_k))
        if first.top_p < 1.0:
            self._warpers.append(TopPLogitsWarper(first.top_p))
        self._uniform = torch.from_numpy(uniforms(requests)).to(device)

    def draw(self, scores: torch.Tensor, step: int, rows: torch.Tensor) -> torch.Tensor:
        """Tokens (alive,) from scores (alive, vocabulary): ``decode.Choice``."""
        for warper in self._warpers:
            scores = warper(None, scores)  # none of them looks at the tokens before
        # float64: a float32 cumulative sum over 150,000 words would round small probabilities away.
        cumulative = torch.softmax(scores, dim=-1, dtype=torch.float64).cumsum_(dim=-1)
        thresholds = self._uniform[rows, step, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, thresholds, right=True).clamp_(max=scores.shape[-1] - 1)[:, 0]


def uniforms(requests: Sequence[Request]) -> np.ndarray:
    """(rows, max_tokens) float64 in [0, 1): row i is the stream of request i's sampling seed."""
    rows = [np.random.Generator(np.random.Philox(key=r.sampling_seed)).random(r.max_tokens) for r in requests]
    return np.stack(rows)
