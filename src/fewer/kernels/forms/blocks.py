"""Blocks: square tiles that hold any weight, row of tiles by row of tiles. For a GPU."""

from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.kernels.dispatch import gpu_path
from fewer.kernels.forms.packed import Packed, padded

SIDES = (64, 32, 16)
SLACK = 1.1


class Blocks(Packed):
    """Compressed rows of blocks (BCSR): the share of blocks that hold any weight, and 4 bytes for each.

    The side is the largest of 64, 32 and 16 whose blocks hold at most `SLACK` x the bytes of the best side: larger ones are
    faster to read and to multiply, smaller ones leave out more.
    """

    form = "blocks"
    devices = ("cuda",)
    dtypes = (torch.float32, torch.float16, torch.bfloat16)

    values: Float[Tensor, "kept side side"]
    columns: Int[Tensor, " kept"]
    """Of each block, in blocks."""
    starts: Int[Tensor, " rows+1"]
    """First block of each row of blocks, and the number of blocks."""

    @classmethod
    def pack(cls, matrix: Float[Tensor, "out in"]) -> Self:
        cls.check(matrix)
        packed = cls()
        packed.shape = (matrix.shape[0], matrix.shape[1])
        tiles = _tiles(matrix, side(matrix))
        kept = (tiles != 0).any(3).any(2)
        packed.values = tiles[kept]
        packed.columns = kept.nonzero()[:, 1].int()
        packed.starts = torch.nn.functional.pad(kept.sum(1).cumsum(0), (1, 0)).int()
        return packed

    def unpack(self) -> Float[Tensor, "out in"]:
        counts, (out, width), side = self.starts.diff(), self.shape, self.values.shape[1]
        rows = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        tiles = self.values.new_zeros(len(counts), -(-width // side), side, side)
        tiles[rows, self.columns.long()] = self.values
        return tiles.transpose(1, 2).flatten(2).flatten(0, 1)[:out, :width].contiguous()

    def multiply(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        if gpu_path() == "reference":
            return self.reference(x)
        from fewer.kernels.gpu.blocks import multiply

        rows = x.reshape(-1, self.shape[1]).contiguous()
        return multiply(rows, self.values, self.columns, self.starts, self.shape[0]).reshape(*x.shape[:-1], self.shape[0])


def side(matrix: Float[Tensor, "out in"]) -> int:
    """Of the blocks that `Blocks` keeps of the matrix."""
    kept = {s: int((_tiles(matrix, s) != 0).any(3).any(2).sum()) * s * s for s in SIDES}
    return next(s for s in SIDES if kept[s] <= SLACK * min(kept.values()))


def _tiles(matrix: Tensor, side: int) -> Float[Tensor, "down right side side"]:
    return padded(matrix, side, side).unflatten(1, (-1, side)).unflatten(0, (-1, side)).transpose(1, 2)
