"""Where every checkpoint tensor lands in a model that fuses, shards or pads its parameters.

Owns the trace of a model's own ``load_weights``: whatever it copies from a checkpoint tensor into a parameter is
seen where torch dispatches the copy, so that no table of fused names has to be kept. Does not know vLLM's classes,
noise, or how text is generated. What cannot be traced completely is refused, with the reason.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from esprobe.engines.weights import WeightSlice
from esprobe.errors import PerturbationError

Named = tuple[str, torch.Tensor]


def trace_weight_loading(
    model: torch.nn.Module,
    load_weights: Callable[[Iterable[Named]], Any],
    tensors: Mapping[str, torch.Tensor],
    aliases: frozenset[str] = frozenset(),
    *,
    sharded: bool = False,
) -> list[WeightSlice]:
    """Load the checkpoint into ``model`` once more and note where each of its elements goes.

    Args:
        model: the loaded model; its parameters are the ones it computes with.
        load_weights: the model's own loader of (checkpoint key, tensor) pairs.
        tensors: every floating-point checkpoint tensor by key, in the served dtype, contiguous.
        aliases: keys that the model reads from another tensor (a tied head), and need not load.
        sharded: whether this model holds only its part of each tensor.

    Returns:
        Runs of checkpoint elements and their live views; each parameter element in exactly one, but for the
        padding of a vocabulary.

    Raises:
        PerturbationError: a parameter is empty (repacked elsewhere), loading changed a weight, a checkpoint
            element lands nowhere, or a parameter element comes from none or from several.
    """
    parameters = dict(model.named_parameters())
    empty = [name for name, parameter in parameters.items() if parameter.numel() == 0]
    if empty:
        raise PerturbationError(
            f"{len(empty)} parameters of this model are empty (first: {empty[0]}): the engine keeps repacked copies "
            f"elsewhere, which noise would not reach; quantised and repacked models cannot be perturbed"
        )
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    watch = _CopyWatch(tensors, parameters)
    with torch.no_grad(), watch:
        load_weights(iter(tensors.items()))
    moved = [name for name, parameter in parameters.items() if not torch.equal(parameter.detach(), before[name])]
    if moved:
        raise PerturbationError(
            f"loading the checkpoint again changed {len(moved)} parameters (first: {moved[0]}), so the engine does not "
            f"compute with the checkpoint's own numbers; this architecture cannot be perturbed"
        )
    _check_sources(tensors, watch.copies, aliases, sharded)
    _check_targets(model, parameters, watch.copies)
    return [piece for copy in watch.copies for piece in copy.slices()]


class _Copy:
    """One copy from part of a checkpoint tensor into part of a parameter, of one shape."""

    def __init__(self, name: str, whole: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> None:
        self.name = name
        self.numel = whole.numel()
        self.start = source.storage_offset() - whole.storage_offset()
        self.shape = tuple(source.shape)
        self.strides = source.stride()
        self.target = target

    def slices(self) -> Iterator[WeightSlice]:
        """The copy in pieces that are contiguous in the model and rows of one stride in the checkpoint."""
        strides, target = self.strides, self.target.stride()
        inner = len(self.shape)
        cols = 1
        while inner and (self.shape[inner - 1] == 1 or strides[inner - 1] == target[inner - 1] == cols):
            inner -= 1
            cols *= self.shape[inner]
        rows, row_stride = 1, 0
        if inner and target[inner - 1] == cols:  # a column shard: rows lie apart in the checkpoint only
            inner -= 1
            rows, row_stride = self.shape[inner], strides[inner]
        for index in _indices(self.shape[:inner]):
            offset = sum(i * stride for i, stride in zip(index, strides[:inner], strict=True))
            live = (self.target[index] if index else self.target).view(-1)
            yield WeightSlice(self.name, self.numel, self.start + offset, live, rows, row_stride)


class _CopyWatch(TorchDispatchMode):  # type: ignore[misc]
    """Notes copies whose source is a checkpoint tensor's memory and whose target is a parameter's."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.copies: list[_Copy] = []
        self._sources = {storage(tensor): (name, tensor) for name, tensor in tensors.items()}
        self._targets = {storage(parameter) for parameter in parameters.values()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.copy_.default:
            target, source = args[:2]
            found = self._sources.get(storage(source))
            same = target.shape == source.shape and target.dtype == source.dtype
            if found is not None and same and storage(target) in self._targets:
                self.copies.append(_Copy(*found, source, target.detach()))
        return func(*args, **(kwargs or {}))


def storage(tensor: torch.Tensor) -> int:
    """Where the memory begins that a tensor is a view of."""
    return int(tensor.untyped_storage().data_ptr())


def _indices(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for flat in range(math.prod(shape)):
        index = []
        for size in reversed(shape):
            flat, i = divmod(flat, size)
            index.append(i)
        yield tuple(reversed(index))


def _check_sources(
    tensors: Mapping[str, torch.Tensor], copies: Sequence[_Copy], aliases: frozenset[str], sharded: bool
) -> None:
    """All of every checkpoint tensor lands somewhere, or a part of it where the model is sharded."""
    landed = dict.fromkeys(tensors, 0)
    for copy in copies:
        landed[copy.name] += math.prod(copy.shape)
    lost = [
        name
        for name, tensor in tensors.items()
        if not (landed[name] or name in aliases) or (not sharded and landed[name] not in (0, tensor.numel()))
    ]
    if lost:
        raise PerturbationError(
            f"{len(lost)} of {len(tensors)} checkpoint tensors could not be followed into the model (first: {lost[0]}, "
            f"{landed[lost[0]]:,} of {tensors[lost[0]].numel():,} scalars), so noise would not reach all of them; this "
            f"architecture cannot be perturbed"
        )


def _check_targets(model: torch.nn.Module, parameters: Mapping[str, torch.Tensor], copies: Sequence[_Copy]) -> None:
    """Every parameter element is written exactly once, but for the rows that pad a vocabulary."""
    written = {
        storage(p): torch.zeros(p.untyped_storage().nbytes() // p.element_size(), dtype=torch.uint8)
        for p in parameters.values()
    }
    for copy in copies:
        target = copy.target
        counts = written[storage(target)]
        counts.as_strided(target.shape, target.stride(), target.storage_offset()).add_(1)
    for name, parameter in parameters.items():
        counts = written[storage(parameter)].as_strided(parameter.shape, parameter.stride(), parameter.storage_offset())
        rows = _vocabulary_rows(model, name, parameter)
        if not bool((counts[:rows] == 1).all()):
            reached = int((counts[:rows] == 1).sum())
            raise PerturbationError(
                f"the parameter {name} takes {reached:,} of its {counts[:rows].numel():,} scalars from exactly one "
                f"checkpoint element, and noise must reach all of them once; this architecture cannot be perturbed"
            )


def _vocabulary_rows(model: torch.nn.Module, name: str, parameter: torch.Tensor) -> int:
    """Rows of a parameter that are no padding; only an embedding that says how many words it holds has any."""
    owner = model.get_submodule(name.rpartition(".")[0])
    shard = getattr(owner, "shard_indices", None)
    rows: int = parameter.shape[0] if parameter.dim() else 1
    return getattr(shard, "num_org_elements", rows) if shard is not None else rows
