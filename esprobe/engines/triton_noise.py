"""Noise v1 and ES v1's updates in one pass over the weights on a GPU: no noise ever lies in memory.

Owns the fused kernels, which must equal esprobe.noise bit for bit: one reads pristine weights and writes perturbed
ones, one adds the noise of many seeds to an accumulator. Does not know names, seeds or models: they are given a
tensor's keys and where in that tensor a piece begins.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from triton.language.random import philox_impl

from esprobe.engines.triton_box_muller import normals, tables_on

DTYPES = (torch.float32, torch.float16, torch.bfloat16)

_NORMALS = tl.constexpr(8)  # normals per Philox block
_BLOCKS = 128  # Philox blocks per program: one for each thread of four warps


def perturb_slice(live: torch.Tensor, base: torch.Tensor, key: int, start: int, sigma: float) -> None:
    """Write base + sigma * noise, rounded once to the dtype, into ``live``.

    Args:
        live: contiguous; float32, float16 or bfloat16.
        base: the pristine weights; like ``live``.
        key: the checkpoint tensor's 128-bit key (``esprobe.noise.noise_key``).
        start: flat index of the first element in the whole checkpoint tensor.
        sigma: rounded to float32; 0 copies.
    """
    perturb_strided(live, base, key, start, 1, live.numel(), 0, sigma)


def perturb_strided(
    live: torch.Tensor,
    base: torch.Tensor,
    key: int,
    start: int,
    rows: int,
    cols: int,
    row_stride: int,
    sigma: float,
    accumulator: torch.Tensor | None = None,
) -> None:
    """Perturb a 2-D piece of a checkpoint tensor, such as a column shard, in one launch.

    Element (r, c) of the piece is number ``r * cols + c`` of ``live`` and of ``base``, and has flat index
    ``start + r * row_stride + c`` in the checkpoint tensor. The rest is as in ``perturb_slice``.

    Args:
        live: where to write.
        base: the pristine weights.
        key: of the checkpoint tensor.
        start: flat index of the first element.
        rows: of the piece.
        cols: of the piece.
        row_stride: elements of the checkpoint tensor from one row to the next.
        sigma: what the noise is multiplied by; not 0 if there is an accumulator.
        accumulator: float32, of the same elements; added to ``base`` first, the sum rounded to float32.

    Raises:
        ValueError: the tensors are not contiguous, of one supported dtype and of ``rows * cols`` elements.
    """
    if not (
        live.dtype == base.dtype
        and live.dtype in DTYPES
        and live.numel() == base.numel() == rows * cols
        and live.is_contiguous()
        and base.is_contiguous()
    ):
        raise ValueError(
            f"a piece of {rows} x {cols} needs two contiguous tensors of that size and of one dtype of 16 or 32 bits, "
            f"got {live.numel()} of {live.dtype} and {base.numel()} of {base.dtype}"
        )
    if accumulator is not None:
        _check_accumulator(accumulator, rows, cols)
    if not rows * cols:
        return
    if sigma == 0 and accumulator is None:
        live.copy_(base.view_as(live))  # the identity; adding 0.0 to -0.0 would not be
        return
    blocks_per_row, grid = _grid(start, rows, cols, row_stride)
    _perturb[grid](
        live,
        base,
        base if accumulator is None else accumulator,
        key & (2**64 - 1),
        key >> 64,
        start,
        rows,
        cols,
        row_stride,
        blocks_per_row,
        sigma,
        *tables_on(live.device),
        TRAINED=accumulator is not None,
        BLOCKS=_BLOCKS,
        enable_fp_fusion=False,  # noise v1 rounds the product and the sum one by one, and so do the pairs of float64s
    )


def accumulate(
    accumulator: torch.Tensor,
    terms: Sequence[tuple[int, float, float]],
    start: int,
    rows: int,
    cols: int,
    row_stride: int,
) -> None:
    """Add noise of many seeds, each times its coefficients, to a piece of an accumulator, in one launch.

    Args:
        accumulator: float32 and contiguous, of ``rows * cols`` elements, none of them -0.0.
        terms: in this order, of each seed the checkpoint tensor's 128-bit key and two coefficients: the noise is
            multiplied by each of them, and each product, rounded to float32, added by itself. A second coefficient of 0
            adds nothing.
        start: flat index of the first element in the whole checkpoint tensor; this and the rest as in
            ``perturb_strided``.
        rows: of the piece.
        cols: of the piece.
        row_stride: elements of the checkpoint tensor from one row to the next.

    Raises:
        ValueError: the accumulator is not contiguous, float32 and of ``rows * cols`` elements.
    """
    _check_accumulator(accumulator, rows, cols)
    if not (rows * cols and terms):
        return
    halves = [half for key, _, _ in terms for half in (key & (2**64 - 1), key >> 64)]
    signed = [half - (half >> 63 << 64) for half in halves]  # the same bits, which torch takes for signed
    keys = torch.tensor(signed, dtype=torch.int64).to(accumulator.device)
    coefficients = torch.tensor([pair for _, *pair in terms], dtype=torch.float32).to(accumulator.device)
    blocks_per_row, grid = _grid(start, rows, cols, row_stride)
    _accumulate[grid](
        accumulator,
        keys,
        coefficients,
        len(terms),
        start,
        rows,
        cols,
        row_stride,
        blocks_per_row,
        *tables_on(accumulator.device),
        BLOCKS=_BLOCKS,
        enable_fp_fusion=False,
    )


def _check_accumulator(accumulator: torch.Tensor, rows: int, cols: int) -> None:
    held, dtype = accumulator.numel(), accumulator.dtype
    if not (dtype == torch.float32 and held == rows * cols and accumulator.is_contiguous()):
        raise ValueError(
            f"a piece of {rows} x {cols} needs a contiguous accumulator of that size in float32, got {held} of {dtype}"
        )


def _grid(start: int, rows: int, cols: int, row_stride: int) -> tuple[int, tuple[int]]:
    """Philox blocks that are computed for each row, and the number of programs."""
    # Elements of a row's first block that lie before the row; where that differs between rows, the most.
    skipped = start % 8 if rows == 1 or row_stride % 8 == 0 else 7
    blocks_per_row = triton.cdiv(skipped + cols, 8)
    return blocks_per_row, (triton.cdiv(rows * blocks_per_row, _BLOCKS),)


# The keys are not specialised on: a kernel would be compiled for each kind of key.
@triton.jit(do_not_specialize=["key_low", "key_high"])  # type: ignore[untyped-decorator]
def _perturb(  # type: ignore[no-untyped-def]
    live,
    base,
    accumulator,
    key_low: tl.uint64,
    key_high: tl.uint64,
    start,
    rows,
    cols,
    row_stride,
    blocks_per_row,
    sigma,
    logs,
    turns,
    TRAINED: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    block, offset, inside = _elements(start, rows, cols, row_stride, blocks_per_row, BLOCKS)
    noise = _noise(block, key_low.to(tl.uint64), key_high.to(tl.uint64), logs, turns, BLOCKS)
    weight = tl.load(base + offset, mask=inside, other=0.0).to(tl.float32)
    if TRAINED:
        weight = weight + tl.load(accumulator + offset, mask=inside, other=0.0)
    _store_rounded(live + offset, weight + sigma * noise, inside)


@triton.jit(do_not_specialize=["count"])  # type: ignore[untyped-decorator]
def _accumulate(  # type: ignore[no-untyped-def]
    accumulator,
    keys,
    coefficients,
    count,
    start,
    rows,
    cols,
    row_stride,
    blocks_per_row,
    logs,
    turns,
    BLOCKS: tl.constexpr,
):
    block, offset, inside = _elements(start, rows, cols, row_stride, blocks_per_row, BLOCKS)
    total = tl.load(accumulator + offset, mask=inside, other=0.0)
    for term in range(count):
        low = tl.load(keys + 2 * term).to(tl.uint64, bitcast=True)
        high = tl.load(keys + 2 * term + 1).to(tl.uint64, bitcast=True)
        noise = _noise(block, low, high, logs, turns, BLOCKS)
        total = total + tl.load(coefficients + 2 * term) * noise
        total = total + tl.load(coefficients + 2 * term + 1) * noise
    tl.store(accumulator + offset, total, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _elements(start, rows, cols, row_stride, blocks_per_row, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """This program's Philox blocks, and of their elements the offsets in the piece and whether they lie in it."""
    number = tl.program_id(0).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    row = number // blocks_per_row
    row_start = start + row * row_stride
    block = row_start // _NORMALS + number % blocks_per_row
    col = (block * _NORMALS - row_start)[:, None] + tl.arange(0, _NORMALS)[None, :]
    inside = (row < rows)[:, None] & (col >= 0) & (col < cols)
    return block, (row * cols)[:, None] + col, inside


@triton.jit  # type: ignore[untyped-decorator]
def _noise(block, key_low, key_high, logs, turns, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    # Element block b is drawn at counter b + 1, as numpy does.
    zero = tl.zeros((BLOCKS,), tl.uint64)
    w0, w1, w2, w3 = philox_impl((block + 1).to(tl.uint64), zero, zero, zero, key_low, key_high)
    words = tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), (BLOCKS, _NORMALS // 2))
    return tl.reshape(normals(words, logs, turns), (BLOCKS, _NORMALS))


@triton.jit
def _store_rounded(target, value, mask):  # type: ignore[no-untyped-def]
    """Round to the target's dtype, to the nearest, ties to even."""
    if target.dtype.element_ty == tl.bfloat16:
        # In integers, because Triton's interpreter truncates where a GPU rounds; so both run the same arithmetic.
        bits = value.to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        rounded = tl.where(value == value, rounded, 0x7FC0)  # the carry would run through a NaN
        tl.store(target, rounded.to(tl.uint16).to(tl.bfloat16, bitcast=True), mask=mask)
    else:
        tl.store(target, value.to(target.dtype.element_ty), mask=mask)
