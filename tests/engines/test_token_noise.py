"""Tokens are drawn from the tempered distribution, each rollout by its own numbers."""

import math

import numpy as np
import pytest
import torch

from esprobe.engines.token_noise import TokenNoise, uniforms
from esprobe.spec import Prompt, Request

LOGITS = [2.0, 1.0, 0.5, 0.0, -1.0, -3.0, -30.0]


def requests(count: int, **changes: object) -> list[Request]:
    settings = {"max_tokens": 4, "temperature": 0.8} | changes
    return [Request(1, 0, seed, Prompt((), ""), sampling_seed=seed * 7919 + 1, **settings) for seed in range(count)]


def draw(count: int, step: int = 0, **changes: object) -> np.ndarray:
    noise = TokenNoise(requests(count, **changes), torch.device("cpu"))
    return noise.draw(torch.tensor([LOGITS]).repeat(count, 1), step, torch.arange(count)).numpy()


def softmax(temperature: float, keep: int = len(LOGITS)) -> np.ndarray:
    weights = np.array([math.exp(x / temperature) for x in LOGITS])
    weights[keep:] = 0  # LOGITS are in descending order
    return weights / weights.sum()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"temperature": 0.4}, softmax(0.4)),
        ({"temperature": 0.8}, softmax(0.8)),
        ({"temperature": 1.0}, softmax(1.0)),
        ({"temperature": 1.0, "top_k": 3}, softmax(1.0, keep=3)),
        ({"temperature": 1.0, "top_p": 0.7}, softmax(1.0, keep=2)),
    ],
)
@pytest.mark.parametrize("step", [0, 3])
def test_frequencies_are_the_tempered_probabilities(changes: dict, expected: np.ndarray, step: int) -> None:
    count = 40_000
    observed = np.bincount(draw(count, step, **changes), minlength=len(LOGITS))
    assert observed[expected == 0].sum() == 0
    seen = expected * count > 5
    chi_square = ((observed - expected * count)[seen] ** 2 / (expected * count)[seen]).sum()
    assert chi_square < 30  # at most 6 degrees of freedom: exceeded by chance once in 25,000


def test_steps_are_independent() -> None:
    first, second = draw(20_000, 0) == 0, draw(20_000, 1) == 0
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_a_stream_depends_on_its_own_seed_in_all_63_bits() -> None:
    def stream(sampling_seed: int) -> list[float]:
        return uniforms([Request(1, 0, 0, Prompt((), ""), 8, 1.0, sampling_seed=sampling_seed)])[0].tolist()

    assert stream(5) == stream(5)
    assert len({tuple(stream(5 | 1 << bit)) for bit in range(63)}) == 62  # bits 0 and 2 are set in 5 already
    many = uniforms(requests(3))
    assert many[1].tolist() == uniforms(requests(3)[1:2])[0].tolist()


def test_a_longer_limit_continues_the_same_stream() -> None:
    assert (uniforms(requests(2, max_tokens=9))[:, :4] == uniforms(requests(2, max_tokens=4))).all()
