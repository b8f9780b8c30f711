"""Patterns that look at nothing: what SparseD has to beat at equal blocks and equal dense steps."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.attention.inputs import Inputs
from fewer.attention.keys import Blocks
from fewer.attention.memory import Memory
from fewer.attention.sparsed import SparseD
from fewer.core.topk import keep_largest


@dataclass(frozen=True)
class Window(SparseD):
    """The nearest key blocks, as many for each block of queries as SparseD keeps there."""

    slug: ClassVar[str] = "sparsed-window"

    sinks: int = 0
    """First blocks that are kept before all (StreamingLLM, Xiao et al. 2023, arXiv 2309.17453)."""

    def choose(self, inputs: Inputs, memory: Memory) -> Blocks:
        kept = super().choose(inputs, memory).blocks
        return Blocks(self.nearest(kept), self.block)

    def nearest(
        self, kept: Bool[Tensor, "batch heads query_blocks key_blocks"]
    ) -> Bool[Tensor, "batch heads query_blocks key_blocks"]:
        """As many of each row, by distance."""
        at = torch.arange(kept.shape[-1], device=kept.device)
        nearness: Float[Tensor, "query_blocks key_blocks"] = -(at - at[:, None]).abs().float()
        nearness[:, : self.sinks] = 1.0
        rows = nearness.expand(kept.shape).reshape(-1, kept.shape[-1])
        return keep_largest(rows, kept.sum(-1).flatten()).view(kept.shape)
