"""The vLLM engine: one in-process engine, fed through a bounded window.

One request per rollout with its own seed, never ``n=1024`` (vLLM would give the i-th child ``seed + i`` and return
nothing until all are done), and never all requests queued: memory does not grow with the number of samples.
"""

import atexit
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Self

from esprobe.engines.base import EngineOptions, ModelIdentity, StopCheck
from esprobe.engines.checkpoint import Checkpoint, find_checkpoint
from esprobe.engines.identity import identify_checkpoint
from esprobe.engines.probe import Reading
from esprobe.engines.prompt_codec import PromptCodec
from esprobe.engines.state import Size, Sums, norms_by_class, state_digest
from esprobe.engines.vllm_names import (
    engine_dead_error,
    graph_sizes,
    has_weight_versions,
    is_batch_invariant,
    marked_dead,
    request_types,
    versions_of,
)
from esprobe.engines.vllm_probe import read_together
from esprobe.engines.vllm_start import first_line, start
from esprobe.engines.vllm_watch import watch
from esprobe.errors import EngineError, ModelError, PerturbationError
from esprobe.spec import Completion, FinishReason, Perturbation, Prompt, Request
from esprobe.trajectory import Trajectory

_WINDOWS = 2
"""Requests in flight, in units of the running batch: one batch that runs, one that waits to fill free places."""

_DYING_S = 60.0
"""Seconds to wait for an engine that has lost a worker to be marked as dead; it takes far less."""

_LOOP = {"min_pattern_size": 1, "max_pattern_size": 32, "min_count": 8}
"""A loop: up to 32 tokens repeated eight times in a row at the end. No answer to a task needs that."""

_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "repetition": "loop"}


class VllmEngine:
    """Continuous batching with vLLM; weights are perturbed inside its workers."""

    batch_size: int | None = None

    def __init__(self, identity: ModelIdentity, checkpoint: Checkpoint, options: EngineOptions) -> None:
        self._identity = identity
        self._checkpoint = checkpoint
        self._options = options
        self._codec = PromptCodec(checkpoint)
        self._llm = start(checkpoint, identity.dtype, options)
        self._engine: Any = self._llm.llm_engine
        watch(self._engine)
        # Registered last, so run first: Python's exit waits for the engine's process, which waits for this shutdown.
        atexit.register(self._engine.engine_core.shutdown)
        self._end_tokens = self._codec.end_tokens(_own_end_tokens(checkpoint))
        self._base = self._label = "base"  # what weight versions are called: of the base, and of what is there now
        self._changes = 0  # how often the weights have been changed
        self._has_versions = has_weight_versions()
        self._relabel(self._label)
        self._pieces: Counter[tuple[Any, ...]] = Counter()
        self._accumulators: list[str | None] = []

    @classmethod
    def identify(cls, model: str, dtype: str) -> ModelIdentity:
        return identify_checkpoint(model, dtype)

    @classmethod
    def load(cls, identity: ModelIdentity, options: EngineOptions) -> Self:
        return cls(identity, find_checkpoint(identity.model), options)

    def generate(self, requests: Sequence[Request], stop: StopCheck) -> Iterator[list[Completion]]:
        waiting = iter(requests)
        in_flight: dict[str, Request] = {}
        window = _WINDOWS * self._options.max_num_seqs
        serial = 0
        changes = self._changes
        try:
            while not stop():
                while len(in_flight) < window and (request := next(waiting, None)) is not None:
                    name = f"{serial}"
                    serial += 1
                    self._submit(name, request)
                    in_flight[name] = request
                if not in_flight:
                    return
                self._check_unchanged(changes)
                finished = self._step()
                yield [self._completion(in_flight.pop(output.request_id), output) for output in finished]
        finally:
            if in_flight:  # stopped, or the consumer failed: no request may continue under other weights
                with _alive(self._engine):
                    self._engine.abort_request(list(in_flight))
                self._drain()

    @contextmanager
    def perturbed(self, perturbation: Perturbation) -> Iterator[int]:
        if not self._options.perturbs:
            raise PerturbationError(
                "this engine was loaded with prefix caching, so its weights must not change; load it with perturbs=True"
            )
        self._check_idle()
        with self._noise(perturbation) as touched:
            yield touched

    @contextmanager
    def _noise(self, perturbation: Perturbation) -> Iterator[int]:
        """As ``perturbed``, also while requests run: what a probe of decoding needs."""
        self._prepare()
        try:
            touched = self._call("esp_perturb", asdict(perturbation))
            noise = f"sigma={perturbation.sigma!r},seed={perturbation.seed},{perturbation.noise},{perturbation.sign:+d}"
            self._relabel(f"{self._base},{noise}")
            yield sum(touched) - self._held_again(perturbation.scope)
        finally:
            self._call("esp_restore")
            self._relabel(self._base)

    def evolve(
        self, trajectory: Trajectory, snapshots: Path | None = None, *, write_after_s: float | None = None
    ) -> str:
        if not trajectory.updates and not self._pieces:
            return state_digest([])  # the loaded weights, as they are
        self._check_idle()
        self._prepare()
        updates = [[list(update.seeds), list(update.coefficients)] for update in trajectory.updates]
        values = {"recipe": trajectory.recipe, "noise": trajectory.noise, "scope": trajectory.scope, "updates": updates}
        told = self._call("esp_evolve", values, None if snapshots is None else str(snapshots), write_after_s)
        self._forget_prefixes()
        for worker in told:
            if "refused" in worker:
                raise PerturbationError(worker["refused"])
        self._base = trajectory.digest if trajectory.updates else "base"
        self._relabel(self._base)
        self._accumulators = [worker["device"] for worker in told]
        # By piece: one that several workers hold counts once.
        sums = {tuple(found[:-2]): Sums(*found[-2:]) for worker in told for found in worker["sums"]}
        return state_digest((piece[0], found) for piece, found in sums.items())

    def update_norms(self) -> Mapping[str, tuple[float, float]]:
        if not self._pieces:
            return {}
        # By piece: one that several workers hold counts once.
        sizes = {tuple(found[:-2]): Size(*found[-2:]) for worker in self._call("esp_sizes") for found in worker}
        return norms_by_class((piece[0], size) for piece, size in sizes.items())

    def settle(self) -> None:
        if self._pieces:
            self._call("esp_settle")
            self._accumulators = []

    def weight_digest(self) -> str:
        """SHA-256 over the live weights, by checkpoint name; of several workers, joined by plus signs."""
        self._prepare()
        return "+".join(self._call("esp_digest"))

    def provenance(self) -> Mapping[str, Any]:
        config = self._engine.vllm_config
        return {
            "engine": "vllm",
            "model": self._identity.model,
            "fingerprint": self._identity.fingerprint,
            "architecture": config.model_config.architecture,
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "device": config.device_config.device_type,
            "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "max_model_len": config.model_config.max_model_len,
            "enforce_eager": config.model_config.enforce_eager,
            "prefix_caching": config.cache_config.enable_prefix_caching,
            "batch_invariant": is_batch_invariant(),
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "gpu_memory_utilization": config.cache_config.gpu_memory_utilization,
            "kv_cache_blocks": config.cache_config.num_gpu_blocks,
            "kv_cache_block_size": config.cache_config.block_size,
            "cudagraph_capture_size": config.compilation_config.max_cudagraph_capture_size,
            "end_tokens": self._end_tokens,
            "accumulator": ", ".join(sorted(filter(None, set(self._accumulators)))) or None,
        }

    def _submit(self, name: str, request: Request) -> None:
        types = request_types()
        ids = self._codec.encode(request.prompt)
        limit = self._engine.vllm_config.model_config.max_model_len
        if len(ids) + request.max_tokens > limit:
            raise ModelError(
                f"a prompt of {len(ids)} tokens and {request.max_tokens} new ones exceed the {limit} positions of "
                f"{self._identity.model!r}; use --max-tokens {max(limit - len(ids), 1)} or less"
            )
        greedy = request.temperature is None
        parameters = types.parameters(
            temperature=0.0 if greedy else request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            seed=request.sampling_seed,
            max_tokens=request.max_tokens,
            stop_token_ids=self._end_tokens,
            repetition_detection=types.repetition(**_LOOP) if request.stop_loops else None,
            detokenize=bool(request.stop),  # vLLM finds stop texts in what it has decoded itself
            stop=list(request.stop),
            include_stop_str_in_output=True,
            output_kind=types.output_kind.FINAL_ONLY,
            skip_clone=True,  # they are not shared, and a deep copy costs more than making them
        )
        with _alive(self._engine):
            self._engine.add_request(name, types.tokens(ids), parameters)

    def _step(self) -> list[Any]:
        return [output for output in self._step_all() if output.finished]

    def _step_all(self) -> list[Any]:
        with _alive(self._engine, RuntimeError):  # torch's out-of-memory error is a RuntimeError
            outputs: list[Any] = self._engine.step()
        return outputs

    def _completion(self, request: Request, output: Any) -> Completion:
        (drawn,) = output.outputs
        reason = _REASONS.get(drawn.finish_reason)
        if reason is None:
            raise EngineError(
                f"vLLM ended problem {request.problem_index}, seed {request.seed} with {drawn.finish_reason!r}, so "
                f"there is no completion to store; run the same command again to draw it"
            )
        if self._has_versions and (versions := versions_of(drawn)) != {self._label}:
            raise EngineError(
                f"vLLM answered under weights {', '.join(sorted(versions)) or '?'} although {self._label} was set, so "
                f"the rollout belongs to another model; this is a bug, please report it"
            )
        return self._codec.completion(request, list(drawn.token_ids), self._end_tokens, reason)

    def _drain(self) -> None:
        while self._engine.has_unfinished_requests():
            self._step()

    def _prepare(self) -> None:
        """Trace the checkpoint into the workers' weights, once.

        Raises:
            PerturbationError: noise cannot reach all weights of this model.
        """
        if not self._pieces:
            traced = self._call("esp_init", str(self._checkpoint.folder))
            for worker in traced:
                if "refused" in worker:
                    raise PerturbationError(worker["refused"])
            self._pieces.update(tuple(piece) for worker in traced for piece in worker["pieces"])

    def _held_again(self, scope: str | None) -> int:
        """Scalars in scope that several workers hold: norms, and key-value heads if there are fewer than workers."""
        return sum(
            (workers - 1) * rows * cols
            for (name, _, rows, cols, _), workers in self._pieces.items()
            if scope is None or re.search(scope, name)
        )

    def _forget_prefixes(self) -> None:
        """Drop cached keys and values, which other weights computed."""
        with _alive(self._engine):
            if not (self._options.perturbs or self._engine.reset_prefix_cache()):
                raise EngineError(
                    "vLLM keeps cached prefixes of other weights because requests are running; this is a bug, please "
                    "report it"
                )

    def _check_idle(self) -> None:
        """Weights change between requests only: what is in flight would be answered by two models.

        Raises:
            EngineError: requests are running.
        """
        if self._engine.has_unfinished_requests():
            raise EngineError(
                "requests are still running in vLLM, and weights that change now would answer the rest of them; this "
                "is a bug, please report it"
            )

    def _check_unchanged(self, changes: int) -> None:
        """What this process knows itself, with every vLLM: a restore does not wait for requests, as it must happen.

        Raises:
            EngineError: weights were changed since there had been ``changes`` of them.
        """
        if self._changes != changes:
            raise EngineError(
                "weights were changed while rollouts were being drawn, so that they belong to two models; this is a "
                "bug, please report it"
            )

    def _relabel(self, label: str) -> None:
        self._changes += 1
        self._label = label
        if self._has_versions:
            with _alive(self._engine):
                self._engine.set_weight_version(label)

    def _call(self, method: str, *arguments: Any) -> list[Any]:
        with _alive(self._engine):
            results: list[Any] = self._engine.collective_rpc(method, args=arguments)
        return results

    def probe(self, prompts: Sequence[Prompt], steps: int, decoding: Perturbation | None = None) -> list[Reading]:
        # One at a time: an engine in its own process may or may not batch two together, which changes the last bits.
        return [self._read([self._codec.encode(prompt)], steps, decoding)[0] for prompt in prompts]

    def graph_sizes(self) -> Sequence[int]:
        return graph_sizes(self._engine)

    def probe_prefill(self, prompt: Prompt, size: int) -> list[Reading]:
        ids = self._codec.encode(prompt)
        longest = self._engine.vllm_config.model_config.max_model_len - 1
        # One token alone attends to itself, whatever queries and keys are.
        return [] if size > longest or size < 2 else self._read([(ids * (size // len(ids) + 1))[:size]], 1)

    def probe_decode(
        self, prompt: Prompt, size: int, steps: int, decoding: Perturbation | None = None
    ) -> list[Reading]:
        if size > self._options.max_num_seqs:
            return []
        ids = self._codec.encode(prompt)
        return self._read([[ids[i % len(ids)], ids[(i + 1) % len(ids)]] for i in range(size)], steps, decoding)

    def _read(
        self, prompts: Sequence[Sequence[int]], steps: int, decoding: Perturbation | None = None
    ) -> list[Reading]:
        noise = None if decoding is None else partial(self._noise, decoding)
        return read_together(self._engine, self._step_all, prompts, steps, noise)

    def probe_head(self) -> list[float]:
        self._prepare()
        outputs: list[float] = self._call("esp_head")[0]
        return outputs


@contextmanager
def _alive(engine: Any, *also: type[Exception]) -> Iterator[None]:
    """Turn the death of vLLM's engine or of one of its processes, and errors of type ``also``, into an EngineError."""
    try:
        yield
    except Exception as err:
        died = isinstance(err, engine_dead_error()) or _died_at_the_call(engine, err)
        if not (died or isinstance(err, also)):
            raise
        if died:
            # Shut down the rest first: otherwise its own tracebacks follow the one line of this error.
            engine.engine_core.shutdown()
        cause = "a process of its engine died" if died else first_line(err)
        raise EngineError(
            f"vLLM failed while it was generating ({cause}); everything stored so far is safe. Run the same "
            f"command again to resume, with a smaller --max-num-seqs if memory ran out"
        ) from err


def _died_at_the_call(engine: Any, error: Exception) -> bool:
    """Whether a call failed because the engine was going down.

    An engine that has lost a worker fails pending calls with errors whose types and messages depend on its state, and
    is marked as dead before or shortly after. An engine that only failed at a call stays alive.
    """
    if marked_dead(engine):
        return True
    if type(error) not in (Exception, RuntimeError) or marked_dead(engine) is None:
        return False
    until = time.monotonic() + _DYING_S
    while not marked_dead(engine) and time.monotonic() < until:
        time.sleep(0.1)
    return bool(marked_dead(engine))


def _own_end_tokens(checkpoint: Checkpoint) -> int | list[int] | None:
    """The end tokens that the checkpoint's generation_config.json names, else its config.json."""
    import json

    path = checkpoint.folder / "generation_config.json"
    settings = json.loads(path.read_bytes()) if path.is_file() else {}
    own: int | list[int] | None = settings.get("eos_token_id", checkpoint.config.get("eos_token_id"))
    return own
