"""Bit mask: one bit for each weight, and the values that are not zero."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fewer.kernels.forms.packed import Packed, padded


class Bitmask(Packed):
    """One bit a weight and the kept values in order: density + 0.03 of dense float32. For any pattern."""

    form = "bitmask"

    values: Float[Tensor, " kept+16"]
    """Row after row, and 16 zeros: the last load reads a whole vector."""
    masks: UInt8[Tensor, "out chunks*2"]
    """Bit k of byte j stands for input 8j + k."""
    starts: Int[Tensor, " out"]
    """Place of each row's first value."""

    @classmethod
    def pack(cls, matrix: Float[Tensor, "out in"]) -> Self:
        cls.check(matrix)
        packed = cls()
        packed.shape = (matrix.shape[0], matrix.shape[1])
        kept = padded(matrix, 1, cls.multiple) != 0
        packed.values = torch.cat([matrix[kept[:, : matrix.shape[1]]], torch.zeros(16, dtype=matrix.dtype)])
        packed.masks = torch.from_numpy(np.packbits(kept.numpy(), axis=1, bitorder="little"))
        counts = kept.sum(1)
        packed.starts = counts.cumsum(0) - counts
        return packed

    def unpack(self) -> Float[Tensor, "out in"]:
        bits = np.unpackbits(self.masks.numpy(), axis=1, count=self.shape[1], bitorder="little")
        matrix = torch.zeros(self.shape, dtype=self.values.dtype)
        matrix[torch.from_numpy(bits).bool()] = self.values[:-16]
        return matrix

    def _operands(self) -> tuple[int, tuple[int, ...]]:
        chunks = self.masks.shape[1] // 2
        return self.shape[0], (chunks, self.starts.data_ptr(), self.masks.data_ptr(), self.values.data_ptr())
