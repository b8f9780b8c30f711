"""Block-sparse attention (MInference, Jiang et al. 2024, arXiv 2407.02490): blocks of queries by keys, by their means."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fewer.attention.families.family import Family
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Blocks, KeySet, in_blocks
from fewer.attention.memory import Memory
from fewer.core import register
from fewer.errors import AttentionError

ALWAYS = 3
"""Key blocks that each row of blocks keeps: the first, its own, the one before it."""


@register
@dataclass(frozen=True)
class BlockAttention(Family):
    """Each block of queries keeps `blocks` blocks of keys (early ones all they have), each query head by itself.

    A block's score is the product of the mean query and the mean key, neither scaled nor normalised. The last block's means are
    over its real tokens.
    """

    slug: ClassVar[str] = "block-attention"

    blocks: int = 64
    """Kept in each row, the three that always are among them."""
    size: int = 16

    def __post_init__(self) -> None:
        if self.blocks < ALWAYS or self.size < 1:
            raise AttentionError(
                f"blocks {self.blocks}, size {self.size}: give at least {ALWAYS} blocks (the first, the query's own and the "
                "one before it are always kept) of at least 1 token."
            )

    def suits(self, inputs: Inputs) -> bool:
        return -(-inputs.queries // self.size) > self.blocks

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads query_blocks key_blocks"]:
        """Products of means; -inf for blocks that are always kept or never allowed."""
        return self.products(inputs).masked_fill(~self._free(inputs), -torch.inf)

    def products(self, inputs: Inputs) -> Float[Tensor, "batch heads query_blocks key_blocks"]:
        """Score of every pair of blocks."""
        q, k = block_means(inputs.q.float(), self.size), block_means(inputs.k.float(), self.size)
        return q @ k.repeat_interleave(inputs.share, 1).transpose(2, 3)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads query_blocks"]:
        rows = torch.arange(1, measured.shape[-2] + 1, device=measured.device)
        return (self.blocks - rows.clamp_max(ALWAYS)).expand(measured.shape[:-1])

    def key_set(self, chosen: Tensor, inputs: Inputs) -> KeySet:
        return Blocks(chosen | self._always(inputs), self.size)

    def _always(self, inputs: Inputs) -> Bool[Tensor, "blocks blocks"]:
        at = torch.arange(-(-inputs.keys // self.size), device=inputs.q.device)
        back = at[:, None] - at
        return (back >= 0) & ((back <= 1) | (at == 0))

    def _free(self, inputs: Inputs) -> Bool[Tensor, "blocks blocks"]:
        return ~self._always(inputs) & torch.ones_like(self._always(inputs)).tril()

    def with_share(self, share: float, keys: int) -> Self:
        return replace(self, blocks=max(ALWAYS, round(share * -(-keys // self.size))))

    def scoring_flops(self, inputs: Inputs) -> float:
        return 2.0 * inputs.batch * inputs.heads * (-(-inputs.keys // self.size)) ** 2 * inputs.dim


def block_means(rows: Float[Tensor, "batch heads rows dim"], size: int) -> Float[Tensor, "batch heads blocks dim"]:
    """Means of `size` rows; the last block may be shorter."""
    sums = in_blocks(rows.transpose(2, 3), size, 0.0).sum(-1).transpose(2, 3)
    lengths = torch.full((sums.shape[2],), float(size), device=rows.device)
    lengths[-1] = rows.shape[2] - size * (len(lengths) - 1)
    return sums / lengths[:, None]


def nominal_density(blocks: int, queries: int, size: int) -> float:
    """Share of the blocks on and below the diagonal that are kept; in cells a little less, diagonal blocks being half empty."""
    rows = -(-queries // size)
    blocks = min(blocks, rows)
    return (blocks * (blocks + 1) / 2 + (rows - blocks) * blocks) / (rows * (rows + 1) / 2)


def blocks_for(density: float, queries: int, size: int = 16) -> int:
    """`blocks` whose nominal density is nearest to `density`, at least the three that are always kept.

    Raises AttentionError for a density outside (0, 1].
    """
    if not 0 < density <= 1:
        raise AttentionError(f"a density lies in (0, 1]; given: {density}.")
    rows = -(-queries // size)
    return min(range(ALWAYS, max(ALWAYS, rows) + 1), key=lambda blocks: abs(nominal_density(blocks, queries, size) - density))
