"""The transformers engine: the default on a CPU, and the reference that other engines are compared with.

Batches are those of the sampling loop. Padding and batched matrix products can change the last bits of a logit: the
same batch always gives the same text, another batch almost always does.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from esprobe.engines.base import EngineOptions, ModelIdentity, StopCheck
from esprobe.engines.checkpoint import Checkpoint, find_checkpoint
from esprobe.engines.decode import Greedy, decode
from esprobe.engines.identity import identify_checkpoint
from esprobe.engines.memory import accumulator_bytes, check_two_copies, host_memory, weight_bytes
from esprobe.engines.prefill import prefill
from esprobe.engines.probe import LIKELIEST, Reading
from esprobe.engines.prompt_codec import PromptCodec
from esprobe.engines.registry import TRANSFORMERS
from esprobe.engines.state import norms_by_class, state_digest
from esprobe.engines.token_noise import TokenNoise
from esprobe.engines.transformers_names import attention_of, cache_name
from esprobe.engines.weights import PristineWeights, digest_of_weights, whole_weights
from esprobe.errors import EngineError, ModelError
from esprobe.spec import Completion, Perturbation, Prompt, Request
from esprobe.trajectory import Trajectory


class TransformersEngine:
    """Greedy decoding and seeded sampling, with a model of transformers."""

    def __init__(self, identity: ModelIdentity, checkpoint: Checkpoint, batch_size: int) -> None:
        self.batch_size: int | None = batch_size
        self._identity = identity
        self._checkpoint = checkpoint
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._cache = cache_name()
        self._model, self._codec = _load(checkpoint, getattr(torch, identity.dtype), self._device)
        self._end_tokens = self._codec.end_tokens(self._model.generation_config.eos_token_id)
        self._pristine: PristineWeights | None = None

    @classmethod
    def identify(cls, model: str, dtype: str) -> ModelIdentity:
        return identify_checkpoint(model, dtype)

    @classmethod
    def load(cls, identity: ModelIdentity, options: EngineOptions) -> Self:
        checkpoint = find_checkpoint(identity.model)
        if options.perturbs:
            _check_memory(checkpoint, identity.dtype, options.trains)
        return cls(identity, checkpoint, options.batch_size)

    def generate(self, requests: Sequence[Request], stop: StopCheck) -> Iterator[list[Completion]]:
        if not requests or stop():
            return
        prompts = [self._codec.encode(request.prompt) for request in requests]
        self._check_length(max(map(len, prompts)), requests[0].max_tokens)
        try:
            rows = self._decode(requests, prompts, stop)
        except torch.OutOfMemoryError as err:
            raise EngineError(
                f"the {self._device.type} device ran out of memory on a batch of {len(requests)} prompts; everything "
                f"stored so far is safe. Run the same command again with a smaller --batch-size"
            ) from err
        if rows is not None:
            yield [self._codec.completion(r, row, self._end_tokens) for r, row in zip(requests, rows, strict=True)]

    def _decode(
        self, requests: Sequence[Request], prompts: Sequence[list[int]], stop: StopCheck
    ) -> list[list[int]] | None:
        """Token ids generated for each request, the end token included; None if a stop came first."""
        first = requests[0]
        begun = prefill(self._model, prompts, self._end_tokens[0], self._cache)
        return decode(
            self._model,
            begun,
            Greedy() if first.temperature is None else TokenNoise(requests, self._device),
            limit=first.max_tokens,
            end_tokens=self._end_tokens,
            ends=self._codec.stop_watch(first.stop) if first.stop else None,
            stop=stop,
            cache_name=self._cache,
        )

    @contextmanager
    def perturbed(self, perturbation: Perturbation) -> Iterator[int]:
        with self._weights().perturbed(perturbation) as touched:
            yield touched

    def evolve(
        self, trajectory: Trajectory, snapshots: Path | None = None, *, write_after_s: float | None = None
    ) -> str:
        if not trajectory.updates and self._pristine is None:
            return state_digest([])  # the loaded model, as it is
        found = self._weights().evolve(trajectory, snapshots, write_after_s=write_after_s)
        return state_digest((weight.name, sums) for weight, sums in found)

    def update_norms(self) -> Mapping[str, tuple[float, float]]:
        if self._pristine is None:
            return {}
        return norms_by_class((weight.name, size) for weight, size in self._pristine.sizes())

    def settle(self) -> None:
        if self._pristine is not None:
            self._pristine.settle()

    def _weights(self) -> PristineWeights:
        if self._pristine is None:  # a second copy of all weights, made only if it is needed
            self._pristine = PristineWeights(whole_weights(self._model, self._checkpoint, self._identity.dtype))
        return self._pristine

    def probe(self, prompts: Sequence[Prompt], steps: int, decoding: Perturbation | None = None) -> list[Reading]:
        rows = [torch.tensor([self._codec.encode(prompt)], device=self._device) for prompt in prompts]
        caches: list[Any] = [None] * len(rows)
        tokens: list[list[int]] = [[] for _ in rows]
        logprobs: list[list[tuple[float, ...]]] = [[] for _ in rows]
        with ExitStack() as weights, torch.no_grad():
            for step in range(steps):
                if step == 1 and decoding is not None:
                    weights.enter_context(self.perturbed(decoding))
                for i, ids in enumerate(rows):
                    output = self._model(input_ids=ids, use_cache=True, **{self._cache: caches[i]})
                    logits = output.logits[0, -1].float()
                    top = torch.log_softmax(logits, dim=-1).topk(min(LIKELIEST, logits.numel()))
                    tokens[i].append(int(top.indices[0]))
                    logprobs[i].append(tuple(top.values.tolist()))
                    rows[i], caches[i] = top.indices[:1].view(1, 1), output[self._cache]
        return [Reading(tuple(t), tuple(p)) for t, p in zip(tokens, logprobs, strict=True)]

    def probe_head(self) -> list[float]:
        head = self._model.get_output_embeddings()
        with torch.no_grad():
            vector = torch.linspace(-1, 1, head.weight.shape[-1], device=self._device, dtype=head.weight.dtype)
            outputs: list[float] = head(vector)[:16].tolist()
        return outputs

    def weight_digest(self) -> str:
        """SHA-256 over the live weights' bytes, by checkpoint name."""
        return digest_of_weights(whole_weights(self._model, self._checkpoint, self._identity.dtype))

    def provenance(self) -> Mapping[str, Any]:
        parameter = next(self._model.parameters())
        return {
            "engine": "transformers",
            "revision": TRANSFORMERS.traits.revision,
            "model": self._identity.model,
            "fingerprint": self._identity.fingerprint,
            "architecture": type(self._model).__name__,
            "dtype": str(parameter.dtype).removeprefix("torch."),
            "device": torch.cuda.get_device_name() if parameter.is_cuda else "cpu",
            "threads": torch.get_num_threads(),
            "attention": attention_of(self._model),
            "end_tokens": self._end_tokens,
            "batch_size": self.batch_size,
            "accumulator": self._pristine.accumulator_device if self._pristine else None,
        }

    def _check_length(self, prompt_tokens: int, max_tokens: int) -> None:
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and prompt_tokens + max_tokens > limit:
            raise ModelError(
                f"a prompt of {prompt_tokens} tokens and {max_tokens} new ones exceed the {limit} positions of "
                f"{self._identity.model!r}; use --max-tokens {max(limit - prompt_tokens, 1)} or less"
            )


def _check_memory(checkpoint: Checkpoint, dtype: str, trains: bool) -> None:
    """Refuse weights that do not fit on the device twice, on a CPU with the accumulator of training.

    Raises:
        ModelError: they do not.
    """
    on_gpu = torch.cuda.is_available()
    available = torch.cuda.get_device_properties(0).total_memory if on_gpu else host_memory()
    if available is not None:
        where = torch.cuda.get_device_name() if on_gpu else "this machine"
        # Where a GPU has no room for it, the accumulator lies in the machine's memory.
        accumulator = accumulator_bytes(checkpoint.tensors) if trains and not on_gpu else 0
        weights = weight_bytes(checkpoint.tensors, dtype)
        check_two_copies(checkpoint.name, weights, available, where, accumulator=accumulator)


def _load(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> tuple[Any, PromptCodec]:
    """Model and tokenizer; errors of transformers about a broken folder become a ModelError."""
    transformers.utils.logging.disable_progress_bar()
    try:
        codec = PromptCodec(checkpoint)
        model, info = AutoModelForCausalLM.from_pretrained(
            checkpoint.folder, dtype=dtype, local_files_only=True, output_loading_info=True
        )
        model = model.to(device).eval()
    except torch.OutOfMemoryError as err:
        raise ModelError(
            f"{checkpoint.name!r} does not fit into the memory of the {device.type} device; free memory, or use a "
            f"smaller model or a 16-bit --dtype"
        ) from err
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as err:
        reason = " ".join(str(err).split())[:300]
        raise ModelError(
            f"transformers {transformers.__version__} cannot load {checkpoint.name!r} "
            f"({type(err).__name__}: {reason}); "
            f"check the folder {checkpoint.folder}, or upgrade transformers if the architecture is newer"
        ) from err
    if lacking := sorted(info["missing_keys"]):
        raise ModelError(
            f"{checkpoint.name!r} lacks {len(lacking)} of the weights of a {type(model).__name__} (first: "
            f"{lacking[0]}), which transformers initialises at random, so that every run would sample another model; "
            f"fetch or save the checkpoint again"
        )
    return model, codec
