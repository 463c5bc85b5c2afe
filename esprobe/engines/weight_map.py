"""Where every checkpoint tensor is in a model that fuses, shards or pads its parameters.

Owns the trace of a model's own ``load_weights``: every copy from a checkpoint tensor into a parameter is recorded where
torch dispatches it, so that no table of fused names is needed. Does not know vLLM's classes, noise, or how text is
generated. A model that cannot be traced completely is refused, with the reason.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from esprobe.engines.slices import WeightSlice
from esprobe.engines.weights import pristine_copies
from esprobe.errors import PerturbationError

Named = tuple[str, torch.Tensor]


@dataclass(frozen=True)
class TracedWeights:
    """Where the checkpoint's elements are in a model.

    Attributes:
        slices: runs of checkpoint elements and their live views; each parameter element is in exactly one, except the
            padding of a vocabulary.
        base: the loaded numbers of each slice, like its ``live``: views of one copy of the parameters.
    """

    slices: list[WeightSlice]
    base: list[torch.Tensor]


def trace_weight_loading(
    model: torch.nn.Module,
    load_weights: Callable[[Iterable[Named]], Any],
    tensors: Iterable[Named],
    tied: Collection[str] = frozenset(),
    *,
    sharded: bool = False,
    vocabulary_rows: Callable[[torch.nn.Module], int | None] = lambda module: None,
) -> "TracedWeights":
    """Load the checkpoint into ``model`` once more and record where each of its elements goes.

    Needs memory for one copy of the parameters, which is returned as the pristine copy, and for the checkpoint tensors
    that the loader holds at a time: they are taken from ``tensors`` one by one and not kept here.

    Args:
        model: the loaded model; its parameters are the ones it computes with.
        load_weights: the model's own loader of (checkpoint key, tensor) pairs.
        tensors: every floating-point checkpoint tensor with its key, in the served dtype, contiguous; may be lazy.
        tied: keys of tied copies, which the model reads from another tensor and need not load.
        sharded: whether this model holds only its part of each tensor.
        vocabulary_rows: rows of a module's parameters that are not the padding of a vocabulary; None: all.

    Raises:
        PerturbationError: a parameter is empty (repacked elsewhere), there is no memory for the copy, loading changed
            a weight, a checkpoint element is loaded nowhere, or a parameter element comes from none or from several.
    """
    parameters = dict(model.named_parameters())
    empty = [name for name, parameter in parameters.items() if parameter.numel() == 0]
    if empty:
        raise PerturbationError(
            f"{len(empty)} parameters of this model are empty (first: {empty[0]}): the engine keeps repacked copies "
            f"elsewhere, which noise would not reach; quantised and repacked models cannot be perturbed"
        )
    before = dict(zip(parameters, pristine_copies(list(parameters.values())), strict=True))
    watch = _CopyWatch(parameters)
    pairs = watch.watched(tensors)
    with torch.no_grad(), watch:
        load_weights(pairs)
    for _ in pairs:  # tensors that the loader did not take count as not loaded
        pass
    moved = [name for name, parameter in parameters.items() if not torch.equal(parameter.detach(), before[name])]
    if moved:
        raise PerturbationError(
            f"loading the checkpoint again changed {len(moved)} parameters (first: {moved[0]}), so the engine does not "
            f"compute with the checkpoint's own numbers; this architecture cannot be perturbed"
        )
    _check_sources(watch.sizes, watch.copies, tied, sharded)
    _check_targets(model, parameters, watch.copies, vocabulary_rows)
    slices = [piece for copy in watch.copies for piece in copy.slices()]
    copies = {storage(parameter): (parameter, before[name]) for name, parameter in parameters.items()}
    return TracedWeights(slices, [_same_view(*copies[storage(piece.live)], piece.live) for piece in slices])


class _Copy:
    """One copy from part of a checkpoint tensor into part of a parameter, of one shape."""

    def __init__(self, whole: "_Source", source: torch.Tensor, target: torch.Tensor) -> None:
        self.name = whole.name
        self.numel = whole.numel
        self.start = source.storage_offset() - whole.offset
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


class _Source(NamedTuple):
    """A checkpoint tensor that the loader was given; it is not kept alive here."""

    name: str
    numel: int
    offset: int
    memory: StorageWeakRef


class _CopyWatch(TorchDispatchMode):  # type: ignore[misc]
    """Records copies whose source is a checkpoint tensor's memory and whose target is a parameter's."""

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.copies: list[_Copy] = []
        self.sizes: dict[str, int] = {}
        self._sources: dict[int, _Source] = {}
        self._targets = {storage(parameter) for parameter in parameters.values()}

    def watched(self, tensors: Iterable[Named]) -> Iterator[Named]:
        """The same pairs; each tensor is recognised as a source as long as its memory is alive."""
        for name, tensor in tensors:
            self.sizes[name] = tensor.numel()
            memory = StorageWeakRef(tensor.untyped_storage())
            self._sources[storage(tensor)] = _Source(name, tensor.numel(), tensor.storage_offset(), memory)
            yield name, tensor
            del tensor  # not held while the next one is read

    def _source_of(self, tensor: torch.Tensor) -> _Source | None:
        found = self._sources.get(storage(tensor))
        # Memory that was freed may belong to another tensor by now.
        return None if found is None or found.memory.expired() else found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.copy_.default:
            target, source = args[:2]
            found = self._source_of(source)
            same = target.shape == source.shape and target.dtype == source.dtype
            if found is not None and same and storage(target) in self._targets:
                self.copies.append(_Copy(found, source, target.detach()))
        return func(*args, **(kwargs or {}))


def storage(tensor: torch.Tensor) -> int:
    """Address of the memory that a tensor is a view of."""
    return int(tensor.untyped_storage().data_ptr())


def _same_view(parameter: torch.Tensor, copy: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
    """The part of ``copy`` that ``live`` is of ``parameter``."""
    return copy.as_strided(live.shape, live.stride(), live.storage_offset() - parameter.storage_offset())


def _indices(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for flat in range(math.prod(shape)):
        index = []
        for size in reversed(shape):
            flat, i = divmod(flat, size)
            index.append(i)
        yield tuple(reversed(index))


def _check_sources(sizes: Mapping[str, int], copies: Sequence[_Copy], tied: Collection[str], sharded: bool) -> None:
    """All of every checkpoint tensor is loaded somewhere, or a part of it where the model is sharded."""
    loaded = dict.fromkeys(sizes, 0)
    for copy in copies:
        loaded[copy.name] += math.prod(copy.shape)
    lost = [
        name
        for name, size in sizes.items()
        if not (loaded[name] or name in tied) or (not sharded and loaded[name] not in (0, size))
    ]
    if lost:
        raise PerturbationError(
            f"{len(lost)} of {len(sizes)} checkpoint tensors could not be traced into the model (first: {lost[0]}, "
            f"{loaded[lost[0]]:,} of {sizes[lost[0]]:,} scalars), so noise would not reach all of them; this "
            f"architecture cannot be perturbed"
        )


def _check_targets(
    model: torch.nn.Module,
    parameters: Mapping[str, torch.Tensor],
    copies: Sequence[_Copy],
    vocabulary_rows: Callable[[torch.nn.Module], int | None],
) -> None:
    """Every parameter element is written exactly once, except the rows that pad a vocabulary."""
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
        rows = vocabulary_rows(model.get_submodule(name.rpartition(".")[0]))
        if not bool((counts[:rows] == 1).all()):
            reached = int((counts[:rows] == 1).sum())
            raise PerturbationError(
                f"the parameter {name} takes {reached:,} of its {counts[:rows].numel():,} scalars from exactly one "
                f"checkpoint element, and noise must reach all of them once; this architecture cannot be perturbed"
            )
