"""The best low-rank copies of a weight matrix, of any rank, from one decomposition."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Factors(NamedTuple):
    """W^T ~ down @ up."""

    down: Float[Tensor, "in rank"]
    up: Float[Tensor, "rank out"]


class LowRank:
    """Truncated singular value decompositions U_r diag(S_r) V_r^T of W [out, in].

    From the eigenvectors of the smaller of W W^T and W^T W in float64: cheaper than a decomposition of W, and as good for
    leading directions, which are all that is kept.
    """

    def __init__(self, weight: Float[Tensor, "out in"]):
        self._weight = weight
        self._short = weight.shape[0] <= weight.shape[1]
        """Fewer outputs than inputs: U is what was computed, else V."""
        w = weight.double()
        _, vectors = torch.linalg.eigh(w @ w.t() if self._short else w.t() @ w)
        self._vectors = vectors.flip(1).to(weight.dtype)

    def factors(self, rank: int) -> Factors:
        """Of at most min(out, in) directions."""
        leading = self._vectors[:, :rank]
        if self._short:
            return Factors((leading.t() @ self._weight).t().contiguous(), leading.t().contiguous())
        return Factors(leading.contiguous(), (self._weight @ leading).t().contiguous())
