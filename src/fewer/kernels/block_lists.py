"""Which key blocks each block of queries attends to, as lists: what a block-sparse kernel and FlexAttention read."""

from typing import NamedTuple, Self

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from fewer.errors import KernelError


class BlockLists(NamedTuple):
    """Made once for a mask, and used for as many steps as the mask holds."""

    counts: Int[Tensor, "batch heads query_blocks"]
    """Kept key blocks of each block of queries."""
    indices: Int[Tensor, "batch heads query_blocks key_blocks"]
    """The kept ones in ascending order, then the others."""
    block: int
    """Positions in a block."""

    @classmethod
    def of(cls, mask: Bool[Tensor, "batch heads query_blocks key_blocks"], block: int, causal: bool = False) -> Self:
        """Batch and heads may be 1: the lists are then shared.

        Args:
            causal: leave out the blocks after the diagonal; queries and keys are the same positions.

        Raises:
            KernelError: a mask that is not bool, not of four dimensions, or causal and not square.
        """
        if mask.dtype != torch.bool or mask.ndim != 4 or block < 1 or (causal and mask.shape[2] != mask.shape[3]):
            raise KernelError(
                f"the mask is {tuple(mask.shape)} of {mask.dtype} with blocks of {block}, causal={causal}; give bool [batch, "
                "heads, query blocks, key blocks], square where it is causal."
            )
        kept = mask.tril() if causal else mask
        indices = kept.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)
        return cls(kept.sum(-1, dtype=torch.int32), indices.int(), block)
