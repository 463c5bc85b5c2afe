"""Reading an engine's log-probabilities for fixed prompts (canaries).

Used to check that noise reaches the weights that the engine computes with; sampling does not use it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from esprobe.engines.base import Engine
from esprobe.spec import Perturbation, Prompt

LIKELIEST = 5
"""Tokens per step whose log-probabilities are read: a confident model's chosen token alone may round to 0."""


@dataclass(frozen=True)
class Reading:
    """One canary's greedy answer.

    Attributes:
        tokens: the chosen ids, one per step; end tokens do not end the answer.
        logprobs: at each step the log-probabilities of the likeliest tokens, descending.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[tuple[float, ...], ...]


@runtime_checkable
class ProbedEngine(Engine, Protocol):
    """An engine whose log-probabilities and weights can be read."""

    def probe(self, prompts: Sequence[Prompt], steps: int, decoding: Perturbation | None = None) -> list[Reading]:
        """Answer each prompt greedily with ``steps`` tokens: the first from the prefill, the others from decoding.

        Args:
            prompts: the canaries, in the order of the answer.
            steps: tokens to generate.
            decoding: weights for the decode steps alone: the prompts are read, and their keys and values kept, under
                the weights as they are.

        Raises:
            PerturbationError: the noise cannot reach all the weights it names.
        """

    def probe_head(self) -> list[float]:
        """Some outputs of the output head for one fixed vector: they depend on the head's weights alone."""

    def weight_digest(self) -> str:
        """SHA-256 over the live weights, by checkpoint name."""


@runtime_checkable
class GraphedEngine(ProbedEngine, Protocol):
    """An engine that may compute batches in captured graphs, one graph for each of some numbers of tokens."""

    def graph_sizes(self) -> Sequence[int]:
        """Numbers of tokens in a step that have a graph of their own, ascending; none without graphs."""

    def probe_prefill(self, prompt: Prompt, size: int) -> list[Reading]:
        """The first token after ``size`` tokens of the repeated prompt; none if that is too long, or one token."""

    def probe_decode(
        self, prompt: Prompt, size: int, steps: int, decoding: Perturbation | None = None
    ) -> list[Reading]:
        """``steps`` tokens of each of ``size`` short pieces of ``prompt`` at once; none if those are too many.

        With ``decoding``, all prompts are read with the weights as they are and the rest under this perturbation.
        """


def distance(one: Sequence[Reading], other: Sequence[Reading], first: int = 0) -> float:
    """The largest difference of log-probabilities from step ``first`` on; infinite where tokens differ."""
    if any(a.tokens[first:] != b.tokens[first:] for a, b in zip(one, other, strict=True)):
        return math.inf
    differences = [
        0.0 if x == y else abs(x - y)
        for a, b in zip(one, other, strict=True)
        for row, column in zip(a.logprobs[first:], b.logprobs[first:], strict=True)
        for x, y in zip(row, column, strict=True)
    ]
    return math.inf if any(map(math.isnan, differences)) else max(differences, default=0.0)
