"""Sliced: rows of like length in slices of 16, and for each entry the distance from the row's last column."""

from typing import Self

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fewer.kernels.forms.packed import Packed

LANES, FAR = 16, 255


class Sliced(Packed):
    """Sliced ELLPACK with 8-bit column distances: 1.25 x density of dense float32 and what slices are filled up with.

    Rows are sorted by length, so that a slice's rows are about as long as its longest. A distance above 255 takes entries
    of value zero on the way. Pays at high sparsity, where a bit mask would be mostly zeros.
    """

    form = "sliced"

    values: Float[Tensor, "entries 16"]
    steps: UInt8[Tensor, "entries 16"]
    """Columns from the last entry of the same lane; the first one counts from column 0."""
    starts: Int[Tensor, " slices+1"]
    """First entry of each slice."""
    rows: Int[Tensor, " slices*16"]
    """Which row each lane is; -1 for the lanes that are left over."""

    @classmethod
    def pack(cls, matrix: Float[Tensor, "out in"]) -> Self:
        cls.check(matrix)
        packed = cls()
        out, _ = packed.shape = (matrix.shape[0], matrix.shape[1])
        row, column = (matrix != 0).nonzero(as_tuple=True)
        before = torch.where(row == row.roll(1), column.roll(1), 0)
        if len(row):
            before[0] = 0
        far = ((column - before - 1).clamp_(min=0)) // FAR  # entries of value zero before this one
        lengths = torch.zeros(out, dtype=torch.long).index_add_(0, row, far + 1)
        by_length = lengths.argsort(descending=True, stable=True)
        order = torch.empty_like(by_length).index_copy_(0, by_length, torch.arange(out))  # a row's place among all lanes
        slices = -(-out // LANES)
        packed.rows = torch.full((slices * LANES,), -1, dtype=torch.int32)
        packed.rows[:out] = by_length
        longest = torch.zeros(slices, dtype=torch.long).scatter_reduce_(0, order // LANES, lengths, "amax")
        packed.starts = torch.cat([torch.zeros(1, dtype=torch.long), longest.cumsum(0)])

        ends = (far + 1).cumsum(0)
        first_of_row = lengths.cumsum(0) - lengths
        entry = packed.starts[order[row] // LANES] + ends - 1 - first_of_row[row]
        lane = order[row] % LANES
        packed.values = torch.zeros(int(packed.starts[-1]), LANES, dtype=matrix.dtype)
        packed.values[entry, lane] = matrix[row, column]
        packed.steps = torch.zeros(int(packed.starts[-1]), LANES, dtype=torch.uint8)
        packed.steps[entry, lane] = (column - before - FAR * far).to(torch.uint8)
        passed = far.nonzero()[:, 0]
        for back in range(1, int(far.max()) + 1 if len(row) else 0):
            passed = passed[far[passed] >= back]
            packed.steps[entry[passed] - back, lane[passed]] = FAR
        return packed

    def unpack(self) -> Float[Tensor, "out in"]:
        steps = self.steps.long()
        lengths = self.starts.diff()
        sums = steps.cumsum(0)
        before = torch.cat([torch.zeros(1, LANES, dtype=torch.long), sums])[self.starts[:-1]]
        column = sums - before.repeat_interleave(lengths, 0)
        lanes = torch.arange(len(lengths)).repeat_interleave(lengths)[:, None] * LANES + torch.arange(LANES)
        matrix = torch.zeros(len(lengths) * LANES, max(self.shape[1], 1), dtype=self.values.dtype)
        kept = self.values != 0
        matrix[lanes[kept], column[kept]] = self.values[kept]
        order = self.rows[: self.shape[0]].long()
        return torch.empty(self.shape, dtype=self.values.dtype).index_copy_(0, order, matrix[: self.shape[0], : self.shape[1]])

    def _operands(self) -> tuple[int, tuple[int, ...]]:
        arrays = self.starts, self.steps, self.values, self.rows
        return len(self.starts) - 1, tuple(array.data_ptr() for array in arrays)
