"""R-Sparse (Zhang et al. 2025, arXiv 2504.19449): large inputs through the weights, the rest through a low-rank copy."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.activations.method import InputMethod, Split, Weights
from fewer.core import register
from fewer.errors import BudgetError


@register
@dataclass(frozen=True)
class RSparse(InputMethod):
    """Scores |x_j| * ||W[:, j]||_2, its share in the output (section 3.2), and y = W (x m) + U_r S_r V_r^T (x (1 - m)).

    Of a density d, the share 1 - rho goes to the rank, by the layer's true shape: `rank` directions have rank * (in + out)
    weights, and there is at least one, as in the authors' code. Inputs get all that is left, so that the budget is met whatever
    was rounded. rho = 1 drops the other inputs, rho = 0 is low rank alone. The authors' code scores |x| at rho = 1; here
    `scaled` says so, whatever rho is.
    """

    slug: ClassVar[str] = "r-sparse"

    rho: float = 0.95
    """Share of the budget that goes to inputs, in [0, 1]; 0.95 is the authors' uniform choice."""
    scaled: bool = True
    """Score |x| times the norm of the input's weights, or |x| alone."""

    def __post_init__(self) -> None:
        if not 0 <= self.rho <= 1:
            raise BudgetError(f"rho must lie in [0, 1], not {self.rho!r}: it is the share of the budget that goes to inputs.")

    def factors(self, layer: Weights) -> Float[Tensor, " in"]:
        return layer.norms if self.scaled else torch.ones_like(layer.norms)

    def split(self, shape: tuple[int, int], density: float) -> Split:
        out, width = shape
        each = (out + width) / (out * width)  # of the weights, for one direction
        if self.rho == 1 or each > density:
            return Split(density, 0)
        rank = min(max(int((1 - self.rho) * density / each + 1e-9), 1), out, width)
        return Split(density - rank * each if self.rho else 0.0, rank)
