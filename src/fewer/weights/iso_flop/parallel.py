"""Sparse Parallel: k sparse branches in place of one dense layer, summed."""

from torch import Tensor, nn

from fewer.weights.iso_flop.like import Plain, norm_of, sized
from fewer.weights.iso_flop.part import HE, Part, Transformed


class Parallel(Transformed):
    """y = sum_j g(norm_j(W_j x + b_j)), with k branches of the layer's own shape at density 1/k.

    Without a nonlinearity or a norm the sum is one sparse layer, and nothing is gained.
    """

    def __init__(self, layer: Plain, branches: int, nonlinearity: nn.Module, norm: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(sized(layer) for _ in range(branches))
        self.norms = nn.ModuleList(norm_of(layer) if norm else nn.Identity() for _ in range(branches))
        self.nonlinearity = nonlinearity

    def parts(self) -> dict[str, Part]:
        gain = HE / len(self.branches)  # so that the sum varies as one branch would
        return {f"branches.{j}": Part(branch, gain=gain) for j, branch in enumerate(self.branches)}  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        outputs = [self.nonlinearity(norm(branch(x))) for branch, norm in zip(self.branches, self.norms, strict=True)]
        return sum(outputs[1:], outputs[0])
