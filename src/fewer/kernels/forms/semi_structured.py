"""Semi-structured: torch's own 2:4 form, for the sparse tensor cores of a GPU."""

from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear, pad

from fewer.kernels.forms.packed import Packed, padded
from fewer.kernels.forms.two_four import overfull

SIDE = 16
SPARSE_TENSOR_CORES = (8, 0)  # compute capability, from Ampere on


class SemiStructured(Packed):
    """What `torch.sparse.to_sparse_semi_structured` makes, multiplied by cuSPARSELt: 0.56 of dense float16 or bfloat16.

    cuSPARSELt asks for sides that 16 divides, so the matrix is padded with zeros. It also asks for a batch that 8 divides,
    which torch pads in every product.
    """

    form = "semi-structured"
    devices = ("cuda",)
    dtypes = (torch.float16, torch.bfloat16)
    multiple = SIDE

    values: Float[Tensor, "out+ in+"]
    """One tensor that holds both weights and places."""

    @classmethod
    def refusal(cls, matrix: Float[Tensor, "out in"]) -> str:
        if why := super().refusal(matrix):
            return why
        if torch.cuda.get_device_capability(matrix.device) < SPARSE_TENSOR_CORES:
            return f"{torch.cuda.get_device_name(matrix.device)} has no sparse tensor cores."
        if not torch.backends.cusparselt.is_available():
            return "this build of torch has no cuSPARSELt."
        return overfull(matrix)

    @classmethod
    def pack(cls, matrix: Float[Tensor, "out in"]) -> Self:
        cls.check(matrix)
        packed = cls()
        packed.shape = (matrix.shape[0], matrix.shape[1])
        packed.values = torch.sparse.to_sparse_semi_structured(padded(matrix, SIDE, SIDE).contiguous())
        return packed

    def unpack(self) -> Float[Tensor, "out in"]:
        out, width = self.shape
        return self.values.to_dense()[:out, :width].contiguous()

    @property
    def nbytes(self) -> int:
        return self.values.packed.nbytes  # type: ignore[attr-defined]  # its own nbytes are those of the dense matrix

    def multiply(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        inputs = pad(x.to(self.values.dtype), (0, -self.shape[1] % SIDE)).reshape(-1, self.values.shape[1])
        out = linear(inputs, self.values)[:, : self.shape[0]]
        return out.to(x.dtype).reshape(*x.shape[:-1], self.shape[0])
