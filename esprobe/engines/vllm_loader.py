"""vLLM's default checkpoint loader, with a check that the checkpoint is complete.

vLLM checks that every parameter of an unquantised model was loaded, except those of linear layers and embeddings. A
checkpoint without one of these is served with uninitialised memory, so that every engine would be another model.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from logging import getLogger
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from esprobe.engines.weight_map import storage
from esprobe.errors import ModelError

# vLLM would warn at every start that a loader of this name exists already, which is intended here.
getLogger(register_model_loader.__module__).addFilter(lambda record: "is already registered" not in str(record.msg))


@register_model_loader("auto")
class CompleteModelLoader(DefaultModelLoader):  # type: ignore[misc]
    """The loader of ``load_format="auto"``, which is vLLM's default."""

    def load_weights(self, model: torch.nn.Module, model_config: Any) -> None:
        """Load, and check that every linear layer and embedding was written completely.

        Raises:
            ModelError: part of one was not.
            ValueError: from vLLM, for other parameters.
        """
        wanted = {
            f"{layer}.{name}": parameter
            for layer, module in model.named_modules()
            if hasattr(module, "quant_method")
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
