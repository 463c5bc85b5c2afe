"""The words of DESIGN as frozen values, and the digests that name them.

Owns what problems, prompts, conditions, requests and rollouts are. Does not know how any of them is made,
stored or run. What every rollout has one of is a named tuple: it takes a third of a frozen dataclass's time to make.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, NamedTuple

FinishReason = Literal["stop", "length", "loop", "unknown"]


class Kind(StrEnum):
    """How the rollouts of a condition were drawn. The values are stored in databases and are part of digests.

    Other rooms ask for a trait where one says what they need, and name a member only where they mean that arm alone.
    """

    GREEDY = "greedy"
    TEMPERATURE = "temperature"
    PERTURBATION = "perturbation"
    TRAINING = "training"
    IMPORTED = "imported"

    @property
    def is_sampled(self) -> bool:
        """Whether seeds give different rollouts, so that there is a curve over k; a greedy answer has k = 1 only."""
        return self is not Kind.GREEDY

    @property
    def has_token_noise(self) -> bool:
        """Whether tokens are drawn at random, so that each rollout has a sampling seed of its own."""
        return self is Kind.TEMPERATURE

    @property
    def shares_noise(self) -> bool:
        """Whether all problems under one seed share one draw (a perturbed model), so that they are not independent."""
        return self in (Kind.PERTURBATION, Kind.TRAINING)

    @property
    def is_listed(self) -> bool:
        """Whether tables of conditions have it without being asked: a training run has one for each iteration."""
        return self is not Kind.TRAINING

    @property
    def parameter(self) -> str | None:
        """The field of ``Condition`` whose value labels a condition of this kind and is its x value; None for none."""
        return {Kind.TEMPERATURE: "temperature", Kind.PERTURBATION: "sigma"}.get(self)


MADE_FROM = "made_from"
"""Key of a session's engine record: the fingerprint of the model that a checkpoint says it was made from."""

BASELINE_SEED = 0
"""A greedy baseline has one rollout per problem; its seed names no randomness."""


def digest_of(value: Any) -> str:
    """SHA-256 (64 hex digits) of a JSON-serialisable value, independent of key order and white space."""
    blob = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(blob.encode()).hexdigest()


@dataclass(frozen=True)
class Prompt:
    """What a model is given: chat messages and the start of the answer that it continues.

    Attributes:
        messages: (role, content) pairs for the model's chat template; empty means no template.
        assistant_prefix: the start of the assistant's turn; without messages, the whole prompt, verbatim.
    """

    messages: tuple[tuple[str, str], ...]
    assistant_prefix: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 over messages and assistant prefix."""
        return digest_of([self.messages, self.assistant_prefix])


@dataclass(frozen=True)
class Problem:
    """One row of a task, named by its index in the data set.

    Attributes:
        index: 0-based position in the data set.
        inputs: what the prompt and the scorer need, JSON-serialisable.
        group: the class of the problem that results are stratified by, such as "3 numbers".
    """

    index: int
    inputs: Mapping[str, Any]
    group: str


class Score(NamedTuple):
    """A scorer's verdict on one completion.

    Attributes:
        reward: what the scorer pays, format bonus included.
        correct: whether the answer itself is right.
        answer: the canonical answer (two answers are the same if and only if these are equal), None without one.
        failure: None if correct, else one word of the scorer's failure taxonomy.
    """

    reward: float
    correct: bool
    answer: str | None
    failure: str | None


LEAST_SIGMA = 2.0**-126
"""Smallest sigma above 0 that is taken, float32's smallest normal number: noise is scaled in float32, where less can
become 0, and that is sigma 0 under another digest."""

MOST_SIGMA = 1000.0
"""Largest sigma that is taken: a few times more, and weights in float16 are no numbers. Models break below 1."""


def is_sigma(value: float) -> bool:
    """Whether weights can be given noise of this standard deviation, 0 included."""
    if value == 0:
        return math.copysign(1, value) > 0  # -0.0 would be sigma 0 under another digest, too
    return LEAST_SIGMA <= value <= MOST_SIGMA


SIGMAS = f"0, or a number from {LEAST_SIGMA:.3g} (in float32, which scales the noise, less can be 0) to {MOST_SIGMA:g}"
"""What sigmas are taken, in words."""


@dataclass(frozen=True)
class Perturbation:
    """One random Gaussian perturbation: ``seed`` at ``sigma`` names one model on every engine and machine.

    Attributes:
        seed: names the draw; 0 <= seed < 2**63.
        sigma: absolute standard deviation of the noise added to each weight, not relative to its size.
        noise: scheme of noise v1, "iid" or "tied".
        scope: regular expression over checkpoint tensor names; None perturbs every floating-point tensor.
        sign: 1, or -1 for the mirror image of an antithetic pair: the noise is multiplied by sign * float32(sigma).
    """

    seed: int
    sigma: float
    noise: str = "iid"
    scope: str | None = None
    sign: int = 1


_SYMBOLS = {Kind.TEMPERATURE: "T", Kind.PERTURBATION: "sigma"}
"""How labels name the parameter of a kind."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Everything that decides the distribution a rollout is drawn from.

    ``model`` is the name that people read; the weights' identity is ``model_fingerprint``, so a checkpoint that
    moved to another folder is still the same condition. Exactly one of greedy (both None), ``temperature`` and
    ``sigma`` holds. Rollouts made elsewhere have a ``source``, the name they were given, and are taken to be drawn
    independently of each other unless they have a ``sigma`` too: then those of a seed share its noise.

    The population of one iteration of ES training is a condition of the base model with a ``sigma`` whose noise is
    added to trained weights: ``trajectory`` is the digest of the training so far (``esprobe.trajectory``), ``run`` that
    of the recipe, and ``mirrored`` holds for the members of antithetic pairs that subtract the noise of their seed.
    Completions end with the first of the texts of ``stop`` that they contain, which are sorted; None for no such text.
    """

    task: str
    data_digest: str
    prompt: str
    prompt_digest: str
    model: str
    model_fingerprint: str
    dtype: str
    engine: str
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    sigma: float | None = None
    noise: str | None = None
    scope: str | None = None
    stop_loops: bool | None = None
    source: str | None = None
    run: str | None = None
    iteration: int | None = None
    trajectory: str | None = None
    mirrored: bool | None = None
    stop: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Make a tuple of what a database has as a JSON list."""
        if self.stop is not None:
            object.__setattr__(self, "stop", tuple(self.stop))

    @property
    def kind(self) -> Kind:
        """How rollouts are drawn, or that they were drawn elsewhere, in an unknown way."""
        if self.run is not None:
            return Kind.TRAINING
        if self.sigma is not None:
            return Kind.PERTURBATION
        if self.source is not None:
            return Kind.IMPORTED
        return Kind.GREEDY if self.temperature is None else Kind.TEMPERATURE

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The keys that tell conditions apart; absent ones are left out, so new keys keep old digests."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "model"}
        return {"kind": self.kind.value} | {k: v for k, v in values.items() if v is not None}

    @cached_property
    def digest(self) -> str:
        """``v1:`` and the SHA-256 of the identity; knows no sample count, so that runs can grow."""
        return "v1:" + digest_of(self.identity)

    @property
    def label(self) -> str:
        """How tables and figures name the condition."""
        if self.source is not None:
            return self.source
        if self.run is not None:
            return f"iteration {self.iteration}{' (mirrored)' if self.mirrored else ''}"
        if self.kind.parameter is None:
            return self.kind.value
        return f"{_SYMBOLS[self.kind]}={self.value:.12g}"

    @property
    def value(self) -> float | None:
        """The temperature or sigma of a condition that has one, else None."""
        parameter = self.kind.parameter
        found: float | None = getattr(self, parameter) if parameter is not None else None
        return found

    def perturbation(self, seed: int) -> Perturbation | None:
        """The model that ``seed`` names under this condition; None where weights are left alone."""
        if self.sigma is None:
            return None
        sign = -1 if self.mirrored else 1
        return Perturbation(seed=seed, sigma=self.sigma, noise=self.noise or "iid", scope=self.scope, sign=sign)


class Request(NamedTuple):
    """One rollout to be drawn.

    Attributes:
        problem_id: the store's id of the problem.
        problem_index: the problem's index in its data set.
        seed: names the draw within its condition.
        prompt: what the model is given.
        max_tokens: the most tokens to generate.
        temperature: None decodes greedily.
        top_p: nucleus mass kept; 1.0 keeps all.
        top_k: tokens kept; -1 keeps all.
        sampling_seed: 63-bit seed of this rollout's own token noise; None where decoding is greedy.
        stop_loops: whether a completion that repeats itself ends early.
        stop: texts after which a completion ends.
    """

    problem_id: int
    problem_index: int
    seed: int
    prompt: Prompt
    max_tokens: int
    temperature: float | None = None
    top_p: float = 1.0
    top_k: int = -1
    sampling_seed: int | None = None
    stop_loops: bool = False
    stop: tuple[str, ...] = ()


class Completion(NamedTuple):
    """What came back for one request.

    Attributes:
        request: the request it answers.
        text: the completion without the prompt, special tokens removed.
        token_count: generated tokens, the end token included.
        finish_reason: "stop" (end token or stop text), "length" (cut off at max_tokens) or "loop" (ended as a
            repetition); "unknown" of rollouts made elsewhere.
    """

    request: Request
    text: str
    token_count: int
    finish_reason: FinishReason
