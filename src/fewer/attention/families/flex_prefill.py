"""FlexPrefill (Lai et al. 2025, arXiv 2502.20766) as The Sparse Frontier simplified it: vertical-slash whose sizes adapt.

Neither the query-aware blocks nor the test by Jensen-Shannon divergence of the original are here.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.families.vertical_slash import VerticalSlashAttention
from fewer.attention.inputs import Inputs
from fewer.core import register
from fewer.errors import AttentionError


@register
@dataclass(frozen=True)
class FlexPrefill(VerticalSlashAttention):
    """As many columns, and as many diagonals, as receive `alpha` of the attention of the last queries; at least `min_budget`.

    Each head of each layer has sizes of its own. `vertical` and `slash` are not read.
    """

    slug: ClassVar[str] = "flex-prefill"

    window: int = 512
    alpha: float = 0.65
    min_budget: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1 or self.min_budget < max(self.sinks, self.nearest):
            raise AttentionError(
                f"alpha {self.alpha}, min_budget {self.min_budget}: alpha is a share in [0, 1], and min_budget at least what "
                f"is always kept, {max(self.sinks, self.nearest)}."
            )

    def covering(self, inputs: Inputs) -> Int[Tensor, "batch heads 2"]:
        """The smallest numbers of columns and of diagonals that receive more than alpha; what is always kept competes, too."""
        shares: Float[Tensor, "batch heads 2 keys"] = self.received(inputs).clamp_min(0) / self.window
        ranked = shares.sort(-1, descending=True).values
        return (ranked.cumsum(-1) <= self.alpha).sum(-1) + 1

    def floor_decides(self, inputs: Inputs) -> float:
        """Share of all sizes that are `min_budget` and not what alpha asks for."""
        return float((self.covering(inputs) < self.min_budget).float().mean())

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads 2"]:
        always = torch.tensor([self.sinks, self.nearest], device=measured.device)
        return self.covering(inputs).clamp_min(self.min_budget) - always

    def with_share(self, share: float, keys: int) -> Self:
        """alpha = share, and the floor at what is always kept: with a floor alpha would decide nothing at small shares."""
        return replace(self, alpha=share, min_budget=max(self.sinks, self.nearest))
