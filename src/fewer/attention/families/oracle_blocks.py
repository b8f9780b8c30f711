"""The oracle of blocks: those that really hold the most attention, which no estimator can beat at that unit."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.attention.families.block import BlockAttention
from fewer.attention.inputs import Inputs
from fewer.attention.keys import ROWS, in_blocks
from fewer.core import register


@register
@dataclass(frozen=True)
class OracleBlocks(BlockAttention):
    """BlockAttention with the exact weights, summed over each block, for scores. It costs more than dense attention."""

    slug: ClassVar[str] = "oracle-blocks"

    def products(self, inputs: Inputs) -> Float[Tensor, "batch heads query_blocks key_blocks"]:
        step = max(1, ROWS // self.size) * self.size
        parts = []
        for start in range(0, inputs.queries, step):
            weights = inputs.logits(start, min(start + step, inputs.queries)).float().softmax(-1)
            over_keys = in_blocks(weights, self.size, 0.0).sum(-1)
            parts.append(in_blocks(over_keys.transpose(2, 3), self.size, 0.0).sum(-1).transpose(2, 3))
        return torch.cat(parts, 2)

    def scoring_flops(self, inputs: Inputs) -> float:
        return 2.0 * inputs.batch * inputs.heads * inputs.cells * inputs.dim
