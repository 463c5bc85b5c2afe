"""A unit of work for an engine, and its results."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from esprobe.seeds import sampling_seed
from esprobe.spec import Completion, Condition, Perturbation, Prompt, Request
from esprobe.trajectory import Trajectory


class Key(NamedTuple):
    """One rollout of a condition; ``problem_id`` is the store's id of the problem."""

    problem_id: int
    problem_index: int
    seed: int


@dataclass(frozen=True)
class Work:
    """The missing rollouts of a unit, or of a part of one.

    It holds keys and not prompts, so that it is small to send: a worker has the task itself.

    Attributes:
        condition_id: the store's id of the condition.
        condition: the condition that is sampled.
        batches: keys that a batching engine computes together; no batch is empty. Without any, the worker brings its
            weights to ``trajectory`` and reports their digest.
        trajectory: the training that the weights have gone through before any perturbation; None for none. Workers
            apply its updates themselves: no weights are sent.
        keeps_state: whether its worker may write a snapshot of the trained weights, of which one copy is enough.
    """

    condition_id: int
    condition: Condition
    batches: tuple[tuple[Key, ...], ...]
    trajectory: Trajectory | None = None
    keeps_state: bool = False

    @property
    def rollouts(self) -> int:
        """How many rollouts it contains."""
        return sum(map(len, self.batches))

    @property
    def perturbation(self) -> Perturbation | None:
        """The perturbation that it runs under; all its keys then have one seed. None: the base weights."""
        if not self.batches:
            return None
        return self.condition.perturbation(self.batches[0][0].seed)

    @property
    def label(self) -> str:
        """Which rollouts these are, for people."""
        keys = [key for batch in self.batches for key in batch]
        if not keys:
            return f"{self.condition.label}, its weights"
        seeds = _span("seed", {key.seed for key in keys})
        return f"{self.condition.label}, {seeds}, {_span('problem', {key.problem_index for key in keys})}"

    def without(self, answered: Collection[Key]) -> "Work | None":
        """The part that is not in ``answered``; None if nothing is left."""
        left = (tuple(key for key in batch if key not in answered) for batch in self.batches)
        batches = tuple(batch for batch in left if batch)
        return replace(self, batches=batches) if batches else None


@dataclass(frozen=True)
class Delivery:
    """Completions that finished together, and the seconds they took: generating, and switching weights.

    ``state`` is the digest of the trained weights that they were drawn from; None of a model that is not in training.
    ``norms`` are those of its update (``Engine.update_norms``), from the worker whose work keeps the state.
    """

    completions: list[Completion]
    generate_s: float = 0.0
    switch_s: float = 0.0
    state: str | None = None
    norms: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def requests_of(work: Work, prompts: Mapping[int, Prompt]) -> list[list[Request]]:
    """The requests of each batch; ``prompts`` by problem index."""
    condition = work.condition
    data, digest, is_random = condition.data_digest, condition.digest, condition.kind.has_token_noise
    top_p = condition.top_p if condition.top_p is not None else 1.0
    top_k = condition.top_k if condition.top_k is not None else -1

    def request(key: Key) -> Request:
        return Request(
            problem_id=key.problem_id,
            problem_index=key.problem_index,
            seed=key.seed,
            prompt=prompts[key.problem_index],
            max_tokens=condition.max_tokens,
            temperature=condition.temperature,
            top_p=top_p,
            top_k=top_k,
            sampling_seed=sampling_seed(data, key.problem_index, digest, key.seed) if is_random else None,
            stop_loops=bool(condition.stop_loops),
            stop=condition.stop or (),
        )

    return [[request(key) for key in batch] for batch in work.batches]


def _span(word: str, numbers: Collection[int]) -> str:
    first, last = min(numbers), max(numbers)
    return f"{word} {first}" if first == last else f"{word}s {first} to {last}"
