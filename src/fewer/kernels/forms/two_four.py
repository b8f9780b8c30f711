"""2:4: of every four weights of a row at most two."""

from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.kernels.forms.packed import Packed, padded

# Of the 16 sets of non-zero places in a group, the two places that are kept.
_PLACES = torch.tensor(
    [sorted((*(k for k in range(4) if n >> k & 1), *(k for k in range(4) if not n >> k & 1))[:2]) for n in range(16)]
)


class TwoFour(Packed):
    """Two values for each group of four inputs, and two bits for each value's place: 0.53 of dense float32."""

    form = "2:4"
    multiple = 32

    values: Float[Tensor, "out chunks*16"]
    codes: Int[Tensor, "out chunks"]
    """32 bits for 32 inputs: bits 2i and 2i+1 are the place of value i in group i // 2."""

    @classmethod
    def refusal(cls, matrix: Float[Tensor, "out in"]) -> str:
        return super().refusal(matrix) or overfull(matrix)

    @classmethod
    def pack(cls, matrix: Float[Tensor, "out in"]) -> Self:
        cls.check(matrix)
        packed = cls()
        packed.shape = (matrix.shape[0], matrix.shape[1])
        whole = padded(matrix, 1, cls.multiple)
        places = _PLACES[_sets(whole)]
        packed.values = whole.unflatten(1, (-1, 4)).gather(2, places).flatten(1)
        shifts = 2 * torch.arange(16)
        words = (places.flatten(1).unflatten(1, (-1, 16)) << shifts).sum(2)
        packed.codes = words.to(torch.uint32).view(torch.int32)
        return packed

    def unpack(self) -> Float[Tensor, "out in"]:
        places = (self.codes.view(torch.uint32).long()[..., None] >> 2 * torch.arange(16)) & 3
        groups = torch.zeros(len(self.values), self.values.shape[1] // 2, 4, dtype=self.values.dtype)
        groups.scatter_(2, places.flatten(1).unflatten(1, (-1, 2)), self.values.unflatten(1, (-1, 2)))
        return groups.flatten(1)[:, : self.shape[1]].contiguous()

    def _operands(self) -> tuple[int, tuple[int, ...]]:
        return self.shape[0], (self.codes.shape[1], self.values.data_ptr(), self.codes.data_ptr())


def overfull(matrix: Float[Tensor, "out in"]) -> str:
    """Why the matrix is not 2:4; empty when it is."""
    over = int(((padded(matrix, 1, 4).unflatten(1, (-1, 4)) != 0).sum(2) > 2).sum())
    return f"2:4 keeps at most 2 of every 4 inputs; {over} groups have more. Use another form." if over else ""


def _sets(matrix: Tensor) -> Tensor:
    """For each group of four the places that are not zero, as four bits [out, groups]."""
    return ((matrix.unflatten(1, (-1, 4)) != 0).to(torch.int8) << torch.arange(4, dtype=torch.int8)).sum(2)
