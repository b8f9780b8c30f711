"""Sparse Factorized: two sparse factors, wide between them, in place of one dense layer."""

from torch import Tensor, nn

from fewer.weights.iso_flop.like import Plain, norm_of, pointwise, sized
from fewer.weights.iso_flop.part import HE, Part, Transformed


class Factorized(Transformed):
    """y = V g(norm(U x)) + b. Of a convolution U keeps kernel and stride, and V is 1 x 1."""

    def __init__(self, layer: Plain, inner: int, nonlinearity: nn.Module, norm: bool, sparse_v: bool) -> None:
        super().__init__()
        self.linear = isinstance(nonlinearity, nn.Identity)
        self.u = sized(layer, outputs=inner, bias=layer.bias is not None and not self.linear)
        self.norm = norm_of(self.u) if norm else nn.Identity()
        self.nonlinearity = nonlinearity
        self.v = pointwise(layer, inner)
        self.sparse_v = sparse_v

    def parts(self) -> dict[str, Part]:
        # Between linear factors there is no nonlinearity that halves the signal.
        return {"u": Part(self.u), "v": Part(self.v, self.sparse_v, gain=1.0 if self.linear else HE)}

    def forward(self, x: Tensor) -> Tensor:
        return self.v(self.nonlinearity(self.norm(self.u(x))))
