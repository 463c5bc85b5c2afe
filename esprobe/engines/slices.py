"""Pieces of checkpoint tensors in a model's memory, and how work on them is cut up for threads and devices.

Owns the map from a piece's elements to flat indices in the checkpoint tensor. Does not know what is done with them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from threading import Condition

import numpy as np
import torch
from numpy.typing import NDArray

from esprobe.noise import fill_standard_normal, noise_key

SPAN = 1 << 18
"""Elements that a thread works on at a time, at most: small enough to spread one large tensor over the cores."""


@dataclass(frozen=True)
class WeightSlice:
    """A piece of one checkpoint tensor, and where the model computes with it.

    Row r, column c of the piece is number ``r * cols + c`` of ``live`` and has flat index
    ``start + r * row_stride + c`` in the checkpoint tensor. One row is a run of consecutive elements; several are a
    column shard.

    Attributes:
        name: the tensor's checkpoint key.
        numel: elements of the whole checkpoint tensor.
        start: row-major flat index of the piece's first element.
        live: (rows * cols,) contiguous view into the model's own memory.
        rows: rows of the piece.
        row_stride: elements of the checkpoint tensor from one row to the next.
    """

    name: str
    numel: int
    start: int
    live: torch.Tensor
    rows: int = 1
    row_stride: int = 0

    @property
    def cols(self) -> int:
        """Consecutive elements in a row."""
        cols: int = self.live.numel() // self.rows
        return cols

    def runs(self, offset: int, count: int) -> Iterator[tuple[int, int]]:
        """(flat index, length) of the consecutive runs in ``live[offset : offset + count]``, in order."""
        end = offset + count
        while offset < end:
            row, col = divmod(offset, self.cols)
            length = min(self.cols - col, end - offset)
            yield self.start + row * self.row_stride + col, length
            offset += length

    def blocks(self, most: int) -> Iterator["Block"]:
        """The piece in blocks of about ``most`` elements, in order; where it has several rows, of whole rows."""
        if self.rows == 1:
            for offset in range(0, self.cols, most):
                yield Block(offset, self.start + offset, 1, min(most, self.cols - offset), 0)
            return
        step = max(1, most // max(1, self.cols))
        for row in range(0, self.rows, step):
            start, rows = self.start + row * self.row_stride, min(step, self.rows - row)
            yield Block(row * self.cols, start, rows, self.cols, self.row_stride)


@dataclass(frozen=True)
class Block:
    """``live[offset : offset + count]`` of a slice, which is a 2-D piece of the checkpoint tensor itself."""

    offset: int
    start: int
    rows: int
    cols: int
    row_stride: int

    @property
    def count(self) -> int:
        """Its elements."""
        return self.rows * self.cols

    @property
    def place(self) -> slice:
        """Where in ``live`` it is."""
        return slice(self.offset, self.offset + self.count)


@dataclass(frozen=True)
class Span:
    """``live[offset : offset + count]`` of the slice of that number."""

    index: int
    offset: int
    count: int

    @property
    def place(self) -> slice:
        """Where in ``live`` it is."""
        return slice(self.offset, self.offset + self.count)


def spans(index: int, count: int) -> list[Span]:
    """All ``count`` elements of the slice of number ``index``."""
    return [Span(index, offset, min(SPAN, count - offset)) for offset in range(0, count, SPAN)]


def shares(some: Iterable[Span]) -> Iterator[list[Span]]:
    """Spans for one thread at a time; small tensors together, because short numpy calls do not run in parallel."""
    share: list[Span] = []
    held = 0
    for span in some:
        if held + span.count > SPAN:
            yield share
            share, held = [], 0
        share.append(span)
        held += span.count
    if share:
        yield share


def in_threads(threads: Executor, work: Callable[[list[Span]], int], some: Iterable[Span]) -> int:
    """Do ``work`` on every share of the spans, and add up what it returns.

    If it is interrupted, or one share fails, it returns only when no thread works on the spans any more.
    """
    # An exception may come between any two steps, such as handing a share to a thread and noting that: so the threads
    # themselves say what they are at.
    changed = Condition()
    ended, at_work = False, 0

    def watched(share: list[Span]) -> int:
        nonlocal at_work
        with changed:
            if ended:
                return 0
            at_work += 1
        try:
            return work(share)
        finally:
            with changed:
                at_work -= 1
                changed.notify_all()

    try:
        return sum(threads.map(watched, shares(some)))
    finally:
        with changed:
            ended = True
            changed.wait_for(lambda: not at_work)


def fill_noise(
    weights: Sequence[WeightSlice], share: Sequence[Span], seed: int, scheme: str, noise: NDArray[np.float32]
) -> None:
    """Write the noise v1 of ``seed`` for the spans of ``share``, one after the other, into ``noise``.

    Args:
        weights: the slices that the spans number.
        share: spans of together ``noise.size`` elements.
        seed: names the noise.
        scheme: the noise scheme.
        noise: (n,) float32, overwritten.
    """
    fill_standard_normal(_pieces(weights, share, seed, scheme, noise))


def _pieces(
    weights: Sequence[WeightSlice], share: Sequence[Span], seed: int, scheme: str, noise: NDArray[np.float32]
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """(key, flat index, where in ``noise``) of every run of consecutive elements, in order."""
    filled = 0
    for span in share:
        weight = weights[span.index]
        key = noise_key(seed, weight.name, weight.numel, scheme)
        for start, length in weight.runs(span.offset, span.count):
            yield key, start, noise[filled : filled + length]
            filled += length
