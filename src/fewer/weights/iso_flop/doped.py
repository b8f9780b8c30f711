"""Sparse Doped: a sparse layer of the dense one's shape, and a dense layer of low rank beside it."""

from torch import Tensor

from fewer.weights.iso_flop.like import Plain, pointwise, sized
from fewer.weights.iso_flop.part import HE, Part, Transformed


class Doped(Transformed):
    """y = W x + V (U x) + b; W is sparse, U and V are dense. Of a convolution U keeps kernel and stride, and V is 1 x 1."""

    def __init__(self, layer: Plain, rank: int) -> None:
        super().__init__()
        self.w = sized(layer, bias=False)
        self.u = sized(layer, outputs=rank, bias=False)
        self.v = pointwise(layer, rank)

    def parts(self) -> dict[str, Part]:
        # Each of both terms brings half of the variance; V reads what no nonlinearity has halved.
        return {"w": Part(self.w, gain=HE / 2), "u": Part(self.u, sparse=False), "v": Part(self.v, sparse=False, gain=1 / 2)}

    def forward(self, x: Tensor) -> Tensor:
        return self.w(x) + self.v(self.u(x))
