"""Dense: all weights as they are, for the kernel that sparse ones must beat."""

from typing import Self

from jaxtyping import Float
from torch import Tensor

from fewer.kernels.forms.packed import Packed, padded

TOGETHER = 4  # rows in a unit of the kernel


class DenseForm(Packed):
    """The matrix itself; it is copied only where its width is no multiple of 16."""

    form = "dense"

    values: Float[Tensor, "out in"]

    @classmethod
    def pack(cls, matrix: Float[Tensor, "out in"]) -> Self:
        cls.check(matrix)
        packed = cls()
        packed.shape = (matrix.shape[0], matrix.shape[1])
        packed.values = padded(matrix, 1, cls.multiple).contiguous()
        return packed

    def unpack(self) -> Float[Tensor, "out in"]:
        return self.values[:, : self.shape[1]]

    def _operands(self) -> tuple[int, tuple[int, ...]]:
        units = -(-self.shape[0] // TOGETHER)
        return units, (self.values.shape[1] // 16, self.shape[0], self.values.data_ptr())
