"""The key sets of the sparse kernels as masks of torch's FlexAttention: the library's way to the same results.

Each mask has its block lists for the compiled kernel and its mask_mod, which alone counts where FlexAttention is not compiled.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from fewer.kernels.block_lists import BlockLists


def attend(
    q: Float[Tensor, "batch heads queries dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    mask: BlockMask,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries dim"]:
    """FlexAttention with grouped-query heads; `torch.compile` it: uncompiled, it holds every logit."""
    out = flex_attention(q, k, v, block_mask=mask, scale=scale, enable_gqa=q.shape[1] != k.shape[1])
    assert isinstance(out, Tensor)  # it returns more only where it is asked to
    return out


def blocks_mask(lists: BlockLists, q: Tensor, k: Tensor, causal: bool = False, first: Tensor | None = None) -> BlockMask:
    """The set of `attention_reference.blocks`: as made by `BlockLists.of(mask, block, causal)`."""
    block, (batch, heads), keys = lists.block, q.shape[:2], k.shape[2]
    listed = torch.arange(lists.indices.shape[-1], device=q.device) < lists.counts[..., None]
    kept = torch.zeros_like(listed).scatter_(-1, lists.indices.long(), listed).expand(batch, heads, -1, -1)
    before = _firsts(first, q)
    row, column = (block * torch.arange(kept.shape[axis], device=q.device) for axis in (2, 3))
    whole = (column + block <= keys) & (column >= before[:, None, None, None])
    if causal:
        whole = whole & (column + block - 1 <= row[:, None])

    def mask_mod(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        inside = kept[b, h, i // block, j // block] & (j >= before[b]) & (j < keys)
        return inside & (j <= i) if causal else inside

    return _made(kept, kept & whole, block, mask_mod, (q.shape[2], keys))


def anchor_mask(
    columns: Bool[Tensor, "batch heads groups n"], block: int, step: int, first: Tensor | None = None, side: int = 128
) -> BlockMask:
    """The set of `attention_reference.stripes`. A block is skipped only where no column of it is kept: columns that lie
    scattered save nothing here.

    Args:
        side: of FlexAttention's blocks.
    """
    (_, _, groups, n), group = columns.shape, block * step
    before = _firsts(first, columns)
    begin = side * torch.arange(-(-n // side), device=columns.device)
    end = (begin + side).clamp(max=n)
    top, bottom = (
        x[None, :, None] - before[:, None, None] for x in (begin, end - 1)
    )  # first and last query, from the token on
    left, right = (x[None, None, :] - before[:, None, None] for x in (begin, end - 1))
    lowest, highest = (x.clamp(0, n - 1) // group for x in (top, bottom))
    some = torch.nn.functional.pad(columns, (0, -n % side)).unflatten(-1, (-1, side)).any(-1)
    kept = ((left < block) | (right >= lowest * group - block))[:, None].expand(*columns.shape[:2], -1, -1)
    for ahead in range(-(-side // group) + 1):
        mine = (lowest + ahead).minimum(highest)[:, None].clamp(max=groups - 1)
        kept = kept | some.gather(2, mine.expand(*kept.shape[:3], len(begin)))
    kept = kept & ((right >= 0) & (left <= bottom))[:, None]
    whole = (left >= 0) & (right <= top) & (left + side <= n - before[:, None, None])
    whole = whole & ((right < block) | (left >= highest * group - block))

    def mask_mod(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        row, column = i - before[b], j - before[b]
        mine = row.clamp(0, n - 1) // group
        local = (column < block) | (column >= mine * group - block)
        return (column >= 0) & (column <= row) & (j < n) & (local | columns[b, h, mine, j.clamp(max=n - 1)])

    return _made(kept, kept & whole[:, None], side, mask_mod, (n, n))


def gathered_mask(indices: Int[Tensor, "batch *lists kept"], q: Tensor, k: Tensor, side: int = 128) -> BlockMask:
    """The set of `attention_reference.gathered`, for a q of one query: [batch, heads, 1, dim]. Every block that holds a listed
    key is read.
    """
    lists = (indices[:, None] if indices.ndim == 2 else indices).long()
    keys = k.shape[2]
    wide = torch.zeros(*lists.shape[:2], keys + 1, dtype=torch.bool, device=q.device)
    kept = wide.scatter_(2, lists.where(lists >= 0, keys), True)[..., :-1].repeat_interleave(q.shape[1] // lists.shape[1], 1)
    some = torch.nn.functional.pad(kept, (0, -keys % side)).unflatten(-1, (-1, side)).any(-1)[:, :, None]

    def mask_mod(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return kept[b, h, j.clamp(max=keys - 1)] & (j < keys)

    return _made(some, torch.zeros_like(some), side, mask_mod, (1, keys))


def _made(kept: Tensor, whole: Tensor, side: int, mask_mod, lengths: tuple[int, int]) -> BlockMask:
    """From the blocks with any kept cell, and those in which every cell is kept."""
    part, full = BlockLists.of(kept & ~whole, side), BlockLists.of(whole, side)
    return BlockMask.from_kv_blocks(
        *(part.counts, part.indices, full.counts, full.indices), BLOCK_SIZE=side, mask_mod=mask_mod, seq_lengths=lengths
    )


def _firsts(first: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros(len(like), dtype=torch.long, device=like.device) if first is None else first.to(like.device)
