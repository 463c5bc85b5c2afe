"""A digest of ES v1's accumulator that does not depend on who holds it: engine, fusion, shards or device.

Owns its definition: of each checkpoint tensor the sum of the float32 bit patterns of D, and the sum of (flat index + 1)
times bit pattern, both modulo 2**64. Sums of pieces add up to the tensor's, and so do the sums of squares that tell how
large the accumulator is.
"""

import hashlib
import math
from collections.abc import Iterable
from typing import NamedTuple

import torch

from esprobe.engines.slices import WeightSlice
from esprobe.engines.tensor_groups import GROUPS, group_of

_BLOCK = 1 << 20  # elements summed at a time: their indices and bit patterns take 8 bytes each
_MODULUS = 2**64


class Sums(NamedTuple):
    """What is known of a piece of an accumulator; both modulo 2**64.

    Attributes:
        bits: sum of its elements' bit patterns, as unsigned integers.
        placed: sum of (flat index in the checkpoint tensor + 1) times bit pattern.
    """

    bits: int
    placed: int


def sums_of(accumulator: torch.Tensor, weight: WeightSlice) -> Sums:
    """Sums of the accumulator of one slice.

    Args:
        accumulator: (rows * cols,) float32, like the slice's ``live``, on any device.
        weight: where its elements are in the checkpoint tensor.
    """
    device = accumulator.device
    total = torch.zeros(2, dtype=torch.int64, device=device)
    for block in weight.blocks(_BLOCK):
        # int64 is what torch calculates with on every device; it wraps around, so that sums are right modulo 2**64.
        bits = accumulator[block.place].view(torch.int32).to(torch.int64) & 0xFFFFFFFF
        index = torch.arange(block.cols, device=device) + (block.start + 1)
        if block.rows > 1:
            index = ((torch.arange(block.rows, device=device) * block.row_stride)[:, None] + index).view(-1)
        total[0] += bits.sum()
        total[1] += (bits * index).sum()
    bits_sum, placed = total.tolist()
    return Sums(bits_sum % _MODULUS, placed % _MODULUS)


class Size(NamedTuple):
    """How large a piece of an accumulator is beside the weights that it is added to.

    Attributes:
        change: sum of squares of the accumulator.
        weights: sum of squares of the weights.
    """

    change: float
    weights: float


def size_of(accumulator: torch.Tensor, base: torch.Tensor) -> Size:
    """Sums of squares of the accumulator of one slice and of its pristine weights, both (rows * cols,)."""
    change = weights = 0.0
    for first in range(0, accumulator.numel(), _BLOCK):
        place = slice(first, first + _BLOCK)
        change += float(accumulator[place].double().square().sum())
        weights += float(base[place].double().square().sum())
    return Size(change, weights)


def norms_by_class(sizes: Iterable[tuple[str, Size]]) -> dict[str, tuple[float, float]]:
    """Euclidean norms of accumulator and weights by class of tensors, in the order of the classes.

    Args:
        sizes: (checkpoint tensor, size of a piece of it), every element in exactly one piece.
    """
    found: dict[str, Size] = {}
    for name, size in sizes:
        held = found.get(kind := group_of(name), Size(0.0, 0.0))
        found[kind] = Size(held.change + size.change, held.weights + size.weights)
    return {kind: (math.sqrt(found[kind].change), math.sqrt(found[kind].weights)) for kind in GROUPS if kind in found}


def state_digest(sums: Iterable[tuple[str, Sums]]) -> str:
    """SHA-256 (64 hex digits) over the tensors' names and sums.

    A tensor whose accumulator is 0 throughout, trained or not, is left out; so the digest of a model without updates is
    that of no tensors.

    Args:
        sums: (checkpoint tensor, sums of a piece of it), every element of an accumulator in exactly one piece.
    """
    tensors: dict[str, Sums] = {}
    for name, (bits, placed) in sums:
        held = tensors.get(name, Sums(0, 0))
        tensors[name] = Sums((held.bits + bits) % _MODULUS, (held.placed + placed) % _MODULUS)
    digest = hashlib.sha256()
    for name, found in sorted(tensors.items()):
        if any(found):
            digest.update(name.encode() + b"\0" + b"".join(value.to_bytes(8, "little") for value in found))
    return digest.hexdigest()
