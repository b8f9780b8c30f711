"""Product with a block-sparse matrix in Triton. Import this module only where `gpu_path()` is "triton"."""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor


class Launch(NamedTuple):
    """How the work is cut. Chosen by reasoning, not measured on a GPU."""

    tile: int
    """Vectors of the batch in a program."""
    rows: int
    """Rows of the matrix in a program: at most a block's side."""
    wide: int
    """Kept columns that are read in one step, of as many blocks as they take."""
    warps: int

    @classmethod
    def of(cls, batch: int, side: int) -> "Launch":
        """For up to 16 vectors time is that of reading weights: many programs, each with many bytes under way. For more, it is
        that of tl.dot: square tiles, so that what is read is used often.
        """
        if batch <= 16:
            return cls(1 if batch == 1 else 16, 16, 256, 4)
        return cls(32 if batch <= 32 else 64, side, 64, 4)


def multiply(
    x: Float[Tensor, "batch in"],
    blocks: Float[Tensor, "kept side side"],
    columns: Int[Tensor, " kept"],
    starts: Int[Tensor, " rows+1"],
    out: int,
) -> Float[Tensor, "batch out"]:
    """x W^T for a W of `out` rows whose kept blocks lie row of blocks by row of blocks.

    Sums are float32; float32 operands are multiplied as such (no TF32). Where x and W differ in type, both are made float32.

    Args:
        x: rows contiguous.
        columns: of each kept block, in blocks.
        starts: of each row of blocks its first kept block, and their number at the end.
    """
    batch, width = x.shape
    y = torch.empty(batch, out, dtype=x.dtype, device=x.device)
    if not batch or not out:
        return y
    side = blocks.shape[1]
    cut = Launch.of(batch, side)
    grid = (triton.cdiv(out, cut.rows), triton.cdiv(batch, cut.tile))
    product[grid](
        *(x, blocks, columns, starts, y, batch, width, out),
        SIDE=side,
        ROWS=cut.rows,
        WIDE=cut.wide,
        TILE=cut.tile,
        num_warps=cut.warps,
    )
    return y


@triton.jit
def product(
    x,  # [batch, width]
    blocks,  # [kept, SIDE, SIDE]
    columns,  # [kept]
    starts,  # [rows of blocks + 1]
    y,  # [batch, out]
    batch,
    width,
    out,
    SIDE: tl.constexpr,
    ROWS: tl.constexpr,
    WIDE: tl.constexpr,
    TILE: tl.constexpr,
):  # pragma: no cover - compiled
    """ROWS results of TILE vectors. The kept columns of a row of blocks are counted through from one block to the next: k is
    column k % SIDE of block k // SIDE. So a step is as wide as it should be, whatever the side.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    sample = tl.program_id(1).to(tl.int64) * TILE + tl.arange(0, TILE)
    row_of_blocks = tl.program_id(0) * ROWS // SIDE
    end = tl.load(starts + row_of_blocks + 1) * SIDE
    inputs = x + sample[:, None] * width
    weights = blocks + (row % SIDE)[:, None] * SIDE
    total = tl.zeros((TILE, ROWS), tl.float32)
    for first in range(tl.load(starts + row_of_blocks) * SIDE, end, WIDE):
        k = first + tl.arange(0, WIDE)
        kept = k < end
        block = k // SIDE
        column = tl.load(columns + block, mask=kept, other=0) * SIDE + k % SIDE
        there = block.to(tl.int64) * (SIDE * SIDE) + k % SIDE
        w = tl.load(weights + there[None, :], mask=kept[None, :], other=0.0)
        inside = (sample < batch)[:, None] & (kept & (column < width))[None, :]
        v = tl.load(inputs + column[None, :], mask=inside, other=0.0)
        if TILE == 1:
            total += tl.sum(w.to(tl.float32) * v.to(tl.float32), 1)[None, :]
        elif w.dtype == v.dtype:
            total = tl.dot(v, tl.trans(w), total, input_precision="ieee")
        else:
            total = tl.dot(v.to(tl.float32), tl.trans(w.to(tl.float32)), total, input_precision="ieee")
    tl.store(y + sample[:, None] * out + row[None, :], total, mask=(sample < batch)[:, None] & (row < out)[None, :])
