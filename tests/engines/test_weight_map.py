"""Following a checkpoint into parameters that are fused, sharded and padded, as engines do; torch is enough."""

import gc
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from esprobe.errors import PerturbationError
from esprobe.noise import standard_normal
from esprobe.spec import Perturbation

torch = pytest.importorskip("torch", reason="the extra 'hf' is not installed")

from esprobe.engines.slices import WeightSlice  # noqa: E402 - needs torch
from esprobe.engines.weight_map import trace_weight_loading  # noqa: E402 - needs torch
from esprobe.engines.weights import PristineWeights  # noqa: E402 - needs torch

RANKS = 2
SHAPES = {"q": (12, 8), "k": (4, 8), "out": (8, 12), "norm": (8,)}


class Shard(torch.nn.Module):  # type: ignore[misc]
    """One of two ranks: q and k fused and split by rows, out split by columns, the norm held whole."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank
        self.qk = torch.nn.Parameter(torch.zeros(8, 8))
        self.out = torch.nn.Parameter(torch.zeros(8, 6))
        self.norm = torch.nn.Parameter(torch.zeros(8))

    def load_weights(self, tensors: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        places = {"q": (self.qk.data[:6], 0), "k": (self.qk.data[6:], 0), "out": (self.out.data, 1)}
        for name, tensor in tensors:
            target, dim = places.get(name, (self.norm.data, None))
            if dim is not None:
                tensor = tensor.narrow(dim, self._rank * target.shape[dim], target.shape[dim])
            target.copy_(tensor)


@pytest.fixture
def tensors() -> dict[str, "torch.Tensor"]:
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in SHAPES.items()}


def followed(rank: int, tensors: dict[str, "torch.Tensor"]) -> tuple[Shard, list[WeightSlice]]:
    model = Shard(rank)
    model.load_weights(tensors.items())
    return model, trace_weight_loading(model, model.load_weights, tensors.items(), sharded=True).slices


@pytest.mark.parametrize("noise", ["iid", "tied"])
@pytest.mark.parametrize("rank", range(RANKS))
def test_every_shard_takes_the_noise_of_its_own_elements(
    rank: int, noise: str, tensors: dict[str, "torch.Tensor"]
) -> None:
    model, slices = followed(rank, tensors)
    weights = PristineWeights(slices)
    assert weights.perturb(Perturbation(57, 0.1, noise)) == sum(p.numel() for p in model.parameters())
    whole = Shard(rank)
    whole.load_weights(
        (
            name,
            tensor
            + torch.from_numpy(
                np.float32(0.1) * standard_normal(57, name, 0, tensor.numel(), noise).reshape(SHAPES[name])
            ),
        )
        for name, tensor in tensors.items()
    )
    for ours, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    weights.restore()
    fresh, _ = followed(rank, tensors)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True))


def test_a_column_shard_is_one_piece(tensors: dict[str, "torch.Tensor"]) -> None:
    _, slices = followed(1, tensors)
    pieces = {(piece.name, piece.start, piece.rows, piece.cols, piece.row_stride) for piece in slices}
    assert pieces == {("q", 48, 1, 48, 0), ("k", 16, 1, 16, 0), ("out", 6, 8, 6, 12), ("norm", 0, 1, 8, 0)}


def test_a_tensor_that_lands_nowhere_is_refused(tensors: dict[str, "torch.Tensor"]) -> None:
    model = Shard(0)
    model.load_weights(tensors.items())

    def forgetful(given: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        model.load_weights((name, tensor) for name, tensor in given if name != "k")

    with pytest.raises(PerturbationError, match="first: k, 0 of 32"):
        trace_weight_loading(model, forgetful, tensors.items(), sharded=True)


def test_a_model_that_loads_other_numbers_than_the_checkpoints_is_refused(tensors: dict[str, "torch.Tensor"]) -> None:
    model = Shard(0)
    model.load_weights(tensors.items())

    def scaled(given: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        model.load_weights(given)
        model.out.data.mul_(2)

    with pytest.raises(PerturbationError, match="changed 1 parameters"):
        trace_weight_loading(model, scaled, tensors.items(), sharded=True)


class Layers(torch.nn.Module):  # type: ignore[misc]
    """Six parameters of 1 MiB; its loader notes how much tensor memory is alive at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ParameterList(torch.zeros(512, 512) for _ in range(6))
        self.alive: list[int] = []

    def load_weights(self, tensors: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        for name, tensor in tensors:
            self.layers[int(name)].data.copy_(tensor)
            self.alive.append(live_bytes())


def live_bytes() -> int:
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def made(count: int) -> Iterator[tuple[str, "torch.Tensor"]]:
    for number in range(count):
        yield str(number), torch.full((512, 512), float(number))


def test_a_trace_holds_one_copy_of_the_weights_and_one_checkpoint_tensor() -> None:
    model = Layers()
    model.load_weights(made(6))
    model.alive.clear()
    before, weights = live_bytes(), 6 * 2**20
    traced = trace_weight_loading(model, model.load_weights, made(6))
    assert max(model.alive) - before <= weights + 2 * 2**20
    pristine = PristineWeights(traced.slices, traced.base)
    assert live_bytes() - before <= weights + 2**16
    loaded = [parameter.detach().clone() for parameter in model.layers]
    assert pristine.perturb(Perturbation(57, 0.1)) == 6 * 512 * 512
    assert not any(torch.equal(a, b) for a, b in zip(model.layers, loaded, strict=True))
    pristine.restore()
    assert all(torch.equal(a, b) for a, b in zip(model.layers, loaded, strict=True))


def test_a_loader_that_keeps_its_tensors_for_later_is_followed_too(tensors: dict[str, "torch.Tensor"]) -> None:
    model = Shard(0)
    model.load_weights(tensors.items())

    def late(given: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        model.load_weights(dict(given).items())

    copies = ((name, tensor.clone()) for name, tensor in tensors.items())
    assert len(trace_weight_loading(model, late, copies, sharded=True).slices) == 4


def test_memory_that_was_a_checkpoint_tensors_is_not_taken_for_it(tensors: dict[str, "torch.Tensor"]) -> None:
    """The allocator gives a freed tensor's memory to the next of its size."""
    model = Shard(0)
    model.load_weights(tensors.items())

    def by_way_of_others(given: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        for name, tensor in given:
            numbers = tensor.tolist()
            del tensor
            model.load_weights([(name, torch.tensor(numbers))])

    copies = ((name, tensor.clone()) for name, tensor in tensors.items())
    with pytest.raises(PerturbationError, match="4 of 4 checkpoint tensors could not be"):
        trace_weight_loading(model, by_way_of_others, copies, sharded=True)
