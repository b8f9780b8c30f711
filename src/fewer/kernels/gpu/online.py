"""Softmax that is continued from one set of keys to the next: what all kernels for attention share."""

import triton
import triton.language as tl

LOG2_E = 1.4426950408889634
"""Logits are kept in units of log2: 2^x is one instruction."""


@triton.jit
def start(ROWS: tl.constexpr, DIM: tl.constexpr):  # pragma: no cover - compiled
    """Peak, total and weighted values of no keys at all."""
    return tl.full((ROWS,), float("-inf"), tl.float32), tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS, DIM), tl.float32)


@triton.jit
def attend(
    q,  # [ROWS, DIM]
    k,  # [WIDE, DIM]
    v,  # [WIDE, DIM]
    kept,  # [ROWS or 1, WIDE]
    peak,
    total,
    sums,
    scale,
):  # pragma: no cover - compiled
    """Peak, total and weighted values with these keys too. `scale` includes log2(e)."""
    if q.shape[0] == 1:
        logits = tl.sum(k.to(tl.float32) * q.to(tl.float32), 1)[None, :]
    else:
        logits = tl.dot(q, tl.trans(k), input_precision="ieee")
    logits = tl.where(kept, logits * scale, float("-inf"))
    highest = tl.maximum(peak, tl.max(logits, 1))
    # A row without any key yet: -inf minus -inf would be no number.
    base = tl.where(highest == float("-inf"), 0.0, highest)
    weights = tl.exp2(logits - base[:, None])
    shrink = tl.exp2(peak - base)
    total = total * shrink + tl.sum(weights, 1)
    if q.shape[0] == 1:
        sums = sums * shrink[:, None] + tl.sum(tl.trans(weights) * v.to(tl.float32), 0)[None, :]
    else:
        sums = tl.dot(weights.to(v.dtype), v, sums * shrink[:, None], input_precision="ieee")
    return highest, total, sums


@triton.jit
def among(
    q,
    k,  # of this head
    v,
    row,  # [ROWS]: the last key that each query may see
    begin,
    end,
    peak,
    total,
    sums,
    scale,
    k_step,
    v_step,
    DIM: tl.constexpr,
    WIDE: tl.constexpr,
):  # pragma: no cover - compiled
    """With the keys from `begin` up to `end` too, none later than the query."""
    lane = tl.arange(0, DIM)
    for at in range(begin, end, WIDE):
        column = at + tl.arange(0, WIDE)
        inside = (column < end)[:, None]
        there = column.to(tl.int64)[:, None]
        keys = tl.load(k + there * k_step + lane[None, :], mask=inside, other=0.0)
        values = tl.load(v + there * v_step + lane[None, :], mask=inside, other=0.0)
        kept = (column < end)[None, :] & (column[None, :] <= row[:, None])
        peak, total, sums = attend(q, keys, values, kept, peak, total, sums, scale)
    return peak, total, sums


@triton.jit
def divided(sums, total):  # pragma: no cover - compiled
    """The weighted mean; zeros for a row without keys."""
    return sums / tl.where(total == 0.0, 1.0, total)[:, None]
