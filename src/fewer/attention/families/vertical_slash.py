"""Vertical-slash attention (MInference, Jiang et al. 2024, arXiv 2407.02490): key columns and diagonals."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.families.family import Family
from fewer.attention.families.last_queries import along_diagonals, last_attention, scoring_flops
from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet, VerticalSlash
from fewer.attention.memory import Memory
from fewer.core import register
from fewer.errors import AttentionError


@register
@dataclass(frozen=True)
class VerticalSlashAttention(Family):
    """Columns and diagonals by the attention of the last `window` queries, for each query head by itself.

    The first `sinks` columns and the `nearest` diagonals are always kept and count in the budgets, as in The Sparse Frontier.
    Prompts of up to `window` tokens have dense attention. Blind to what queries before the window need.
    """

    slug: ClassVar[str] = "vertical-slash"

    vertical: int = 512
    """Columns kept."""
    slash: int = 512
    """Diagonals kept."""
    window: int = 256
    sinks: int = 4
    nearest: int = 64

    def __post_init__(self) -> None:
        if self.sinks < 0 or self.nearest < 1 or self.vertical < self.sinks or self.slash < self.nearest or self.window < 1:
            raise AttentionError(
                f"vertical {self.vertical}, slash {self.slash}, window {self.window}: give at least the {self.sinks} columns "
                f"and {self.nearest} diagonals that are always kept (sinks, nearest), of these and of the window at least 1."
            )

    def suits(self, inputs: Inputs) -> bool:
        return inputs.queries > self.window

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads 2 keys"]:
        """Attention that columns (first) and diagonals (second) receive; distances beyond keys - window are no candidates."""
        found = self.received(inputs)
        found[:, :, 0, : self.sinks] = -torch.inf
        found[:, :, 1, : self.nearest] = -torch.inf
        return found

    def received(self, inputs: Inputs) -> Float[Tensor, "batch heads 2 keys"]:
        """As `measured`, with what is always kept."""
        weights = last_attention(inputs, self.window)
        found = torch.full((inputs.batch, inputs.heads, 2, inputs.keys), -torch.inf, device=weights.device)
        found[:, :, 0] = weights.sum(2)
        diagonals = along_diagonals(weights)
        found[:, :, 1, : diagonals.shape[-1]] = diagonals
        return found

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads 2"]:
        kept = torch.tensor([self.vertical - self.sinks, self.slash - self.nearest], device=measured.device)
        return kept.expand(measured.shape[:-1])

    def key_set(self, chosen: Tensor, inputs: Inputs) -> KeySet:
        at = torch.arange(inputs.keys, device=chosen.device)
        return VerticalSlash(chosen[:, :, 0] | (at < self.sinks), chosen[:, :, 1] | (at < self.nearest))

    def with_share(self, share: float, keys: int) -> Self:
        """As many columns as diagonals, as published."""
        size = round(share * keys)
        return replace(self, vertical=max(self.sinks, size), slash=max(self.nearest, size))

    def scoring_flops(self, inputs: Inputs) -> float:
        return scoring_flops(inputs, self.window)
