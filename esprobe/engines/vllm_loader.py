"""vLLM's default checkpoint loader, with a check that the checkpoint is complete.

vLLM checks that every parameter of an unquantised model was loaded, except those of linear layers and embeddings. A
checkpoint without one of these is served with uninitialised memory, so that every engine would be another model.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from esprobe.engines.vllm_names import LOAD_FORMAT, layers_that_vllm_does_not_check, loader_hooks
from esprobe.engines.weight_map import storage
from esprobe.errors import ModelError

_HOOKS = loader_hooks()


@_HOOKS.register(LOAD_FORMAT)
class CompleteModelLoader(_HOOKS.default):  # type: ignore[misc, name-defined]
    """The loader of vLLM's default load format."""

    def load_weights(self, model: torch.nn.Module, model_config: Any) -> None:
        """Load, and check that every linear layer and embedding was written completely.

        Raises:
            ModelError: part of one was not.
            ValueError: from vLLM, for other parameters.
        """
        wanted = {
            f"{layer}.{name}": parameter
            for layer, module in layers_that_vllm_does_not_check(model)
            for name, parameter in module.named_parameters(recurse=False)
        }
        places = {name: storage(parameter) for name, parameter in wanted.items()}
        written = _Written()
        with written:
            super().load_weights(model, model_config)
        if model_config.quantization is not None:
            return  # the quantisation method decides which tensors such a checkpoint has
        # A parameter whose memory has changed has replaced the one that was created first.
        lacking = [
            name
            for name, parameter in wanted.items()
            if storage(parameter) == places[name] and written.elements[places[name]] < parameter.numel()
        ]
        if lacking:
            raise ModelError(
                f"{model_config.model!r} lacks {len(lacking)} of the weights of a {type(model).__name__}, or parts of "
                f"them (first: {lacking[0]}), instead of which vLLM computes with uninitialised memory; fetch or "
                f"save the checkpoint again"
            )


class _Written(TorchDispatchMode):  # type: ignore[misc]
    """Counts the elements that are written to each storage."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[int] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if args and isinstance(args[0], torch.Tensor) and func._schema.is_mutable:
            self.elements[storage(args[0])] += args[0].numel()
        return func(*args, **(kwargs or {}))
