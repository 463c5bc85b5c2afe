"""Noise v1 in one pass over the weights on a GPU: read the pristine ones, write the perturbed ones.

Owns the fused kernel, which must equal esprobe.noise bit for bit after rounding; no noise ever lies in memory. Does
not know names, seeds or models: it is given a tensor's key and where in that tensor a piece begins.
"""

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
    live: torch.Tensor, base: torch.Tensor, key: int, start: int, rows: int, cols: int, row_stride: int, sigma: float
) -> None:
    """Perturb a 2-D piece of a checkpoint tensor, such as a column shard, in one launch.

    Element (r, c) of the piece is number ``r * cols + c`` of ``live`` and of ``base``, and has flat index
    ``start + r * row_stride + c`` in the checkpoint tensor. The rest is as in ``perturb_slice``.

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
    if not rows * cols:
        return
    if sigma == 0:
        live.copy_(base.view_as(live))  # the identity; adding 0.0 to -0.0 would not be
        return
    # Elements of a row's first block that lie before the row; where that differs between rows, the most.
    skipped = start % 8 if rows == 1 or row_stride % 8 == 0 else 7
    blocks_per_row = triton.cdiv(skipped + cols, 8)
    grid = (triton.cdiv(rows * blocks_per_row, _BLOCKS),)
    _perturb[grid](
        live,
        base,
        key & (2**64 - 1),
        key >> 64,
        start,
        rows,
        cols,
        row_stride,
        blocks_per_row,
        sigma,
        *tables_on(live.device),
        BLOCKS=_BLOCKS,
        enable_fp_fusion=False,  # noise v1 rounds the product and the sum one by one, and so do the pairs of float64s
    )


# The keys are not specialised on: a kernel would be compiled for each kind of key.
@triton.jit(do_not_specialize=["key_low", "key_high"])  # type: ignore[untyped-decorator]
def _perturb(  # type: ignore[no-untyped-def]
    live,
    base,
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
    BLOCKS: tl.constexpr,
):
    number = tl.program_id(0).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    row = number // blocks_per_row
    row_start = start + row * row_stride
    block = row_start // _NORMALS + number % blocks_per_row

    # Element block b is drawn at counter b + 1, as numpy does.
    zero = tl.zeros((BLOCKS,), tl.uint64)
    w0, w1, w2, w3 = philox_impl(
        (block + 1).to(tl.uint64), zero, zero, zero, key_low.to(tl.uint64), key_high.to(tl.uint64)
    )
    words = tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), (BLOCKS, _NORMALS // 2))
    noise = tl.reshape(normals(words, logs, turns), (BLOCKS, _NORMALS))

    col = (block * _NORMALS - row_start)[:, None] + tl.arange(0, _NORMALS)[None, :]
    inside = (row < rows)[:, None] & (col >= 0) & (col < cols)
    offset = (row * cols)[:, None] + col
    weight = tl.load(base + offset, mask=inside, other=0.0)
    _store_rounded(live + offset, weight.to(tl.float32) + sigma * noise, inside)


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
