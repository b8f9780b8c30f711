"""How well a mask connects: its singular values beside those of the best expanders (Ramanujan graphs)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.errors import SelectionError


class Spectrum(NamedTuple):
    """Of a mask as a bipartite graph: inputs on one side, outputs on the other, an edge for each active weight."""

    first: float
    """Largest singular value of the mask."""
    second: float
    """Second largest. The smaller, the more evenly each set of units is connected to all others."""
    bound: float
    """sqrt(d_l - 1) + sqrt(d_r - 1), d_l and d_r the mean degrees of outputs and inputs."""
    weighted_gap: float
    """First less second singular value of |w| on the mask; NaN without weights."""

    @property
    def gap(self) -> float:
        """Bound less second singular value: at least 0 for a Ramanujan graph."""
        return self.bound - self.second

    @property
    def ramanujan(self) -> bool:
        return self.gap >= 0


def spectrum(mask: Bool[Tensor, "out ..."], weight: Float[Tensor, "out ..."] | None = None) -> Spectrum:
    """The spectral check of Sparse-IFT (arXiv 2303.11525, after Hoang et al. 2023). A kernel's positions count as inputs.

    Exact singular values: cubic in the shorter side.

    Raises:
        SelectionError: a mask with one row or column, or on which mean degrees are below 1, so that there is no bound.
    """
    edges = mask.flatten(1).double()
    degrees = [float(edges.sum()) / side for side in edges.shape]
    if min(edges.shape) < 2 or min(degrees) < 1:
        raise SelectionError(
            f"a mask [{edges.shape[0]}, {edges.shape[1]}] with {int(edges.sum())} active weights has no second singular value "
            "to bound: it needs two rows, two columns, and an active weight a row and a column in the mean."
        )
    first, second = torch.linalg.svdvals(edges)[:2].tolist()
    weighted = math.nan
    if weight is not None:
        top = torch.linalg.svdvals(weight.detach().flatten(1).double().abs() * edges)[:2]
        weighted = float(top[0] - top[1])
    return Spectrum(first, second, sum(math.sqrt(degree - 1) for degree in degrees), weighted)
