"""Strips: 16 rows at a time, and of each strip the columns that any of them keeps."""

from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.kernels.forms.packed import Packed, padded

LANES = 16
WIDEST = 2**16


class Strips(Packed):
    """For blocks that are 16 rows high, or a multiple, and as wide as they like: 1.03 x the share of them that is kept."""

    form = "strips"

    values: Float[Tensor, "columns 16"]
    columns: Int[Tensor, " columns"]
    """16 bits each: which column of its strip."""
    starts: Int[Tensor, " strips+1"]
    """First column of each strip."""

    @classmethod
    def refusal(cls, matrix: Float[Tensor, "out in"]) -> str:
        if why := super().refusal(matrix):
            return why
        width = matrix.shape[1]
        return f"strips number their columns with 16 bits; {width} are too many." if width > WIDEST else ""

    @classmethod
    def pack(cls, matrix: Float[Tensor, "out in"]) -> Self:
        cls.check(matrix)
        packed = cls()
        packed.shape = (matrix.shape[0], matrix.shape[1])
        strips = padded(matrix, LANES, 1).unflatten(0, (-1, LANES))
        kept = (strips != 0).any(1)
        packed.values = strips.transpose(1, 2)[kept]
        packed.columns = kept.nonzero()[:, 1].to(torch.uint16)
        packed.starts = torch.cat([torch.zeros(1, dtype=torch.long), kept.sum(1).cumsum(0)])
        return packed

    def unpack(self) -> Float[Tensor, "out in"]:
        counts = self.starts.diff()
        strips = torch.zeros(len(counts), self.shape[1], LANES, dtype=self.values.dtype)
        strips[torch.arange(len(counts)).repeat_interleave(counts), self.columns.long()] = self.values
        return strips.transpose(1, 2).flatten(0, 1)[: self.shape[0]].contiguous()

    @property
    def height(self) -> int:
        return (len(self.starts) - 1) * LANES

    def _ordered(self, out: Tensor) -> Tensor:
        return out[..., : self.shape[0]]

    def _operands(self) -> tuple[int, tuple[int, ...]]:
        return len(self.starts) - 1, (self.starts.data_ptr(), self.columns.data_ptr(), self.values.data_ptr())
