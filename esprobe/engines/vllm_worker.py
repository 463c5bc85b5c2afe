"""What esprobe adds to a vLLM worker: the weights, by checkpoint name.

vLLM mixes this class into its worker before the model is loaded; every name is prefixed, because a clash with one of
the worker's own is refused there. Does not know requests or how text is generated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from vllm.platforms import current_platform

import esprobe.engines.vllm_loader  # noqa: F401 - registers itself
from esprobe.engines.checkpoint import Checkpoint, find_checkpoint
from esprobe.engines.weight_map import trace_weight_loading
from esprobe.engines.weights import PristineWeights, WeightSlice, digest_of_weights
from esprobe.errors import PerturbationError
from esprobe.spec import Perturbation


def _keep_weights_where_they_are() -> None:
    """Make vLLM's CPU build compute with its parameters, not with repacked copies that no edit reaches.

    There is no switch for it. Both names are vLLM's own; whether it worked is checked on the loaded model, where an
    empty parameter is refused.
    """
    from vllm import _custom_ops
    from vllm.model_executor.layers import utils

    _custom_ops._supports_onednn = False
    utils.check_cpu_sgl_kernel = lambda *arguments, **options: False


if current_platform.is_cpu():
    _keep_weights_where_they_are()  # before the model is loaded: this module is imported when the worker is made


class WeightExtension:
    """Methods that the engine calls by name in every worker."""

    esp_weights: PristineWeights

    esp_slices: Sequence[WeightSlice]

    esp_folder: str

    def esp_init(self, folder: str) -> Mapping[str, Any]:
        """Follow the checkpoint into the model and keep a pristine copy; tells its pieces, or why it is refused."""
        model = self.model_runner.model  # type: ignore[attr-defined]
        checkpoint = find_checkpoint(folder)
        dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        device = next(model.parameters()).device
        tensors = _tensors(checkpoint, dtype, device)
        tied = bool(checkpoint.config.get("tie_word_embeddings", False))
        aliases = frozenset({"lm_head.weight"} if tied else ())
        try:
            sharded = self.parallel_config.tensor_parallel_size > 1  # type: ignore[attr-defined]
            slices = trace_weight_loading(model, model.load_weights, tensors, aliases, sharded=sharded)
        except PerturbationError as err:
            # Exceptions of a worker reach the engine as text only; a value keeps its words.
            return {"refused": str(err)}
        self.esp_weights, self.esp_slices = PristineWeights(slices), slices
        self.esp_folder = folder
        return {"pieces": [[p.name, p.start, p.rows, p.cols, p.row_stride] for p in slices]}

    def esp_perturb(self, seed: int, sigma: float, noise: str, scope: str | None) -> int:
        """Make the weights those the perturbation names; the scalars touched in this worker."""
        return self.esp_weights.perturb(Perturbation(seed, sigma, noise, scope))

    def esp_perturb_by_loading(self, seed: int, sigma: float, noise: str, scope: str | None) -> int:
        """The same weights by another way: perturb whole checkpoint tensors, and let the model load them.

        Slow, and right for any model that can load its checkpoint again; what ``esp_perturb`` is checked against.
        """
        model = self.model_runner.model  # type: ignore[attr-defined]
        like = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
        tensors = _tensors(find_checkpoint(self.esp_folder), like.dtype, like.device)
        whole = [WeightSlice(name, tensor.numel(), 0, tensor.view(-1)) for name, tensor in tensors.items()]
        touched = PristineWeights(whole).perturb(Perturbation(seed, sigma, noise, scope))
        model.load_weights(iter(tensors.items()))
        return touched

    def esp_restore(self) -> None:
        """Make the weights the pristine ones."""
        self.esp_weights.restore()

    def esp_digest(self) -> str:
        """SHA-256 over the live weights of this worker, by checkpoint name."""
        return digest_of_weights(self.esp_slices)

    def esp_head(self) -> list[float]:
        """Some logits of one fixed hidden state: they depend on the output head's weights alone."""
        runner = self.model_runner  # type: ignore[attr-defined]
        like = next(parameter for parameter in runner.model.parameters() if parameter.is_floating_point())
        size = runner.model_config.get_hidden_size()
        with torch.no_grad():
            hidden = torch.linspace(-1, 1, size, device=like.device, dtype=like.dtype)
            logits: list[float] = runner.model.compute_logits(hidden.unsqueeze(0))[0, :16].tolist()
        return logits


def _tensors(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> dict[str, torch.Tensor]:
    """Every floating-point tensor of a checkpoint, in the served dtype, each in memory of its own."""
    from safetensors import safe_open

    loaded: dict[str, torch.Tensor] = {}
    for path in checkpoint.weights:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                tensor = file.get_tensor(name)
                if tensor.is_floating_point():
                    loaded[name] = tensor.to(device=device, dtype=dtype, copy=True).contiguous()
    return loaded
