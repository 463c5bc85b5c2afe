"""The scripted engine: fixed texts from a file, without a model.

For tests, and for trying esprobe without torch. It implements the whole engine contract: which text a request gets
depends on the problem, the sampling seed, the perturbation and the training, and on nothing else.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from esprobe.engines.base import EngineOptions, ModelIdentity, StopCheck
from esprobe.engines.stop_texts import end_of_stop
from esprobe.errors import ModelError
from esprobe.seeds import h64
from esprobe.spec import Completion, Perturbation, Request
from esprobe.trajectory import Trajectory

_GROUP = 64


class ScriptedEngine:
    """Answers from a script: a JSON file ``{"<problem index>": ["text", ...], "*": ["text", ...]}``.

    ``--model SCRIPT.json`` names the file. A problem that is not listed gets the texts under ``"*"``.
    """

    batch_size: int | None = None

    def __init__(self, identity: ModelIdentity, script: Mapping[str, Sequence[str]]) -> None:
        self._identity = identity
        self._script = script
        self._perturbation: Perturbation | None = None
        self._trained: tuple[str, ...] = ()  # digests of the trajectories that this model has gone through
        self._settled = 0  # how many of them are part of the loaded model

    @classmethod
    def identify(cls, model: str, dtype: str) -> ModelIdentity:
        blob = _read(model)
        _parse(model, blob)
        return ModelIdentity(model, hashlib.sha256(blob).hexdigest(), "text")

    @classmethod
    def load(cls, identity: ModelIdentity, options: EngineOptions) -> Self:
        return cls(identity, _parse(identity.model, _read(identity.model)))

    def generate(self, requests: Sequence[Request], stop: StopCheck) -> Iterator[list[Completion]]:
        for start in range(0, len(requests), _GROUP):
            if stop():
                return
            yield [self._complete(request) for request in requests[start : start + _GROUP]]

    def _complete(self, request: Request) -> Completion:
        texts = self._script.get(str(request.problem_index)) or self._script["*"]
        noise = self._perturbation
        drawn = h64(
            request.problem_index,
            request.sampling_seed or 0,
            *((noise.seed, repr(noise.sigma), noise.noise) if noise and noise.sigma else ()),
            *(("mirrored",) if noise and noise.sigma and noise.sign < 0 else ()),
            *self._trained,
        )
        text = texts[drawn % len(texts)]
        text = text[: end_of_stop(text, request.stop)]
        words = text.count(" ") + 1
        cut = words > request.max_tokens
        return Completion(
            request=request,
            text=" ".join(text.split(" ", request.max_tokens)[:-1]) if cut else text,
            token_count=min(words, request.max_tokens),
            finish_reason="length" if cut else "stop",
        )

    @contextmanager
    def perturbed(self, perturbation: Perturbation) -> Iterator[int]:
        self._perturbation = perturbation
        try:
            yield 0  # there are no weights to touch
        finally:
            self._perturbation = None

    def evolve(
        self, trajectory: Trajectory, snapshots: Path | None = None, *, write_after_s: float | None = None
    ) -> str:
        self._trained = self._trained[: self._settled] + ((trajectory.digest,) if trajectory.updates else ())
        return hashlib.sha256(trajectory.digest.encode()).hexdigest()

    def update_norms(self) -> Mapping[str, tuple[float, float]]:
        return {}

    def settle(self) -> None:
        self._settled = len(self._trained)

    def provenance(self) -> Mapping[str, Any]:
        return {"engine": "scripted", "script": self._identity.model, "fingerprint": self._identity.fingerprint}


def _read(model: str) -> bytes:
    try:
        return Path(model).read_bytes()
    except OSError as err:
        raise ModelError(
            f"the script {model!r} cannot be read ({err.strerror}), so there are no texts to answer with; "
            f"name a JSON file with --model"
        ) from err


def _parse(model: str, blob: bytes) -> Mapping[str, Sequence[str]]:
    try:
        script = json.loads(blob)
    except ValueError as err:
        raise ModelError(f"the script {model!r} is not JSON ({err}); see docs/engines.md for its form") from err
    shaped = isinstance(script, dict) and all(
        isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts) for texts in script.values()
    )
    if not shaped or not script.get("*"):
        raise ModelError(
            f'the script {model!r} must be an object of non-empty lists of texts with a list under "*"; '
            f"see docs/engines.md for its form"
        )
    parsed: Mapping[str, Sequence[str]] = script
    return parsed
