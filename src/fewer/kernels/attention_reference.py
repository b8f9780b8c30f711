"""What the kernels for sparse attention and sparse activations must give: plain torch in the type of its inputs, so float64
too. Every set of kept cells is written out in full: for tests and small inputs.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def attend(
    q: Float[Tensor, "batch heads queries dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    kept: Bool[Tensor, "#batch #heads #queries keys"],
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries dim"]:
    """Softmax over the kept cells alone. A query that keeps none gets zeros.

    Args:
        k: query head h reads head h // (heads / kv_heads), as in grouped-query attention.
        scale: of the logits; by default dim**-0.5.
    """
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    logits = _scale(q, scale) * q @ k.mT
    weights = logits.masked_fill(~kept, -torch.inf).softmax(-1)
    return weights.where(kept.any(-1, keepdim=True), 0) @ v


def anchor(
    q: Float[Tensor, "batch heads n dim"],
    k: Float[Tensor, "batch kv_heads n dim"],
    v: Float[Tensor, "batch kv_heads n dim"],
    theta: float | Float[Tensor, " heads"],
    block: int = 128,
    step: int = 16,
    scale: float | None = None,
    first: Int[Tensor, " batch"] | None = None,
    by: Literal["max", "sum"] = "max",
) -> Float[Tensor, "batch heads n dim"]:
    """Causal attention to the first block, the block before the own group of `block * step` queries, the own group, and the
    columns that `anchor_columns` keeps for the group (Zhang et al. 2025, arXiv 2505.23520).

    Args:
        theta: nats below the anchor at which a column is still kept; one for all heads or one a head.
        first: index of the first real token of each sequence. Blocks are counted from there, so padding on the left changes
            no result; rows of the padding are zeros.
        by: see `anchor_columns`.
    """
    return stripes(q, k, v, anchor_columns(q, k, theta, block, step, scale, first, by), block, step, scale, first)


def stripes(
    q: Float[Tensor, "batch heads n dim"],
    k: Float[Tensor, "batch kv_heads n dim"],
    v: Float[Tensor, "batch kv_heads n dim"],
    columns: Bool[Tensor, "batch heads groups n"],
    block: int = 128,
    step: int = 16,
    scale: float | None = None,
    first: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch heads n dim"]:
    """As `anchor`, with columns that someone else chose: for its random twin."""
    at, group, own = _anchored(q, block, step, first)
    wide = columns.gather(2, group[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[2]))
    return attend(q, k, v, own[:, None] | (wide & (at >= 0)[:, None, :, None]), scale)


def anchor_columns(
    q: Float[Tensor, "batch heads n dim"],
    k: Float[Tensor, "batch kv_heads n dim"],
    theta: float | Float[Tensor, " heads"],
    block: int = 128,
    step: int = 16,
    scale: float | None = None,
    first: Int[Tensor, " batch"] | None = None,
    by: Literal["max", "sum"] = "max",
) -> Bool[Tensor, "batch heads groups n"]:
    """Columns between the first block and the block before a group, of which the logit with the mean query of ANY block of
    the group comes within theta of that block's mean anchor. The last group and its last block may be shorter than the
    others.

    Args:
        by: the anchor of a query is the largest of its logits in the cells that are always kept, or their log-sum-exp (ours).
    """
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    at, _, own = _anchored(q, block, step, first)
    logits = _scale(q, scale) * q @ k.mT
    near = logits.masked_fill(~own[:, None], -torch.inf)
    anchors = near.amax(-1) if by == "max" else near.logsumexp(-1)
    theta = torch.as_tensor(theta, dtype=q.dtype, device=q.device).expand(q.shape[1])
    kept = torch.zeros(*q.shape[:2], -(-q.shape[2] // (block * step)), q.shape[2], dtype=torch.bool, device=q.device)
    for sequence in range(len(q)):
        place = at[sequence]
        for t in range(int(place.max()) // block + 1):
            group, rows = t // step, place // block == t
            pooled, mean_anchor = logits[sequence, :, rows].mean(1), anchors[sequence, :, rows].mean(1)
            between = (place >= block) & (place < group * block * step - block)
            kept[sequence, :, group] |= between & (pooled + theta[:, None] >= mean_anchor[:, None])
    return kept


def gathered(
    q: Float[Tensor, "batch heads dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    indices: Int[Tensor, "batch *lists kept"],
    scale: float | None = None,
) -> Float[Tensor, "batch heads dim"]:
    """One query a head, to the listed keys.

    Args:
        indices: [batch, kept] for all heads, or [batch, kv_heads, kept], or [batch, heads, kept]. No key twice; an index below
            0 is no key, so lists may differ in length.
    """
    lists = (indices[:, None] if indices.ndim == 2 else indices).long()
    kept = torch.zeros(*lists.shape[:2], k.shape[2] + 1, dtype=torch.bool, device=q.device)
    kept = kept.scatter_(2, lists.where(lists >= 0, k.shape[2]), True)[..., :-1]
    kept = kept.repeat_interleave(q.shape[1] // kept.shape[1], 1)
    return attend(q[:, :, None], k, v, kept[:, :, None], scale)[:, :, 0]


def blocks(
    q: Float[Tensor, "batch heads queries dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    mask: Bool[Tensor, "#batch #heads query_blocks key_blocks"],
    block: int,
    causal: bool = False,
    scale: float | None = None,
    first: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch heads queries dim"]:
    """Attention to the key blocks that the mask keeps for each block of queries; the last of either may be shorter.

    Args:
        causal: and to no later key. Queries and keys are then the same positions.
        first: and to no key before this one, of each sequence.
    """
    kept = mask.repeat_interleave(block, 2).repeat_interleave(block, 3)[:, :, : q.shape[2], : k.shape[2]]
    row, column = (torch.arange(x.shape[2], device=q.device) for x in (q, k))
    if causal:
        kept = kept & (column <= row[:, None])
    if first is not None:
        kept = kept & (column >= first[:, None, None, None])
    return attend(q, k, v, kept, scale)


def columns(
    x: Float[Tensor, "rows in"],
    weight: Float[Tensor, "in out"],
    threshold: float | Float[Tensor, " in"],
    down: Float[Tensor, "in rank"] | None = None,
    up: Float[Tensor, "rank out"] | None = None,
) -> Float[Tensor, "rows out"]:
    """Inputs larger than the threshold times the weight, stored by input; the rest, if asked for, times a low-rank copy of it:
    x m W + x (1 - m) down up (R-Sparse, Zhang et al. 2025, arXiv 2504.19449).

    Args:
        threshold: of |x|: one, or one for each input (R-Sparse's tau divided by the norm of the input's weights).
    """
    kept = ~(x.abs().double() <= threshold)  # so that NaN is kept, and seen
    large = x.where(kept, 0) @ weight
    return large if down is None or up is None else large + x.masked_fill(kept, 0) @ down @ up


def _scale(q: Tensor, scale: float | None) -> float:
    return q.shape[-1] ** -0.5 if scale is None else scale


def _anchored(q: Tensor, block: int, step: int, first: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Of each sequence the places counted from its first token, their groups, and the cells that are always kept."""
    first = torch.zeros(len(q), dtype=torch.long, device=q.device) if first is None else first
    at = torch.arange(q.shape[2], device=q.device) - first[:, None]
    group = at.clamp(min=0) // (block * step)
    row, column = at[:, :, None], at[:, None, :]
    local = column >= group[:, :, None] * block * step - block
    return at, group, (column >= 0) & (column <= row) & ((column < block) | local)
