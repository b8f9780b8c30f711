"""Phase 2 of anchor attention in Triton: which columns a group of queries keeps, as a mask and as lists."""

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fewer.kernels.gpu.online import LOG2_E

WIDE = 128
"""Columns in a program that looks for them."""
LISTED = 2048
"""Columns that a program lists in a step."""


def search(
    q: Float[Tensor, "batch heads n dim"],
    k: Float[Tensor, "batch kv_heads n dim"],
    anchors: Float[Tensor, "batch heads n"],
    theta: float | Float[Tensor, " heads"],
    block: int,
    step: int,
    scale: float,
    first: Int[Tensor, " batch"],
) -> Bool[Tensor, "batch heads groups n"]:
    """Columns that come within theta (nats) of the mean anchor of some block of the group; anchors are in units of log2."""
    batch, heads, n, dim = q.shape
    count, groups = triton.cdiv(n, block), triton.cdiv(n, block * step)
    means = torch.empty(batch, heads, count, dim, dtype=q.dtype, device=q.device)
    wanted = torch.empty(batch, heads, count, device=q.device)
    pool[(count, batch * heads)](
        *(q, anchors, first, means, wanted, heads, n, block, count, *q.stride()[:3]), DIM=dim, ROWS=32, num_warps=4
    )
    kept = torch.zeros(batch, heads, groups, n, dtype=torch.bool, device=q.device)
    thetas = torch.as_tensor(theta, dtype=torch.float32, device=q.device).expand(heads).contiguous() * LOG2_E
    hits[(groups, triton.cdiv(n, WIDE), batch * heads)](
        *(means, wanted, k, first, thetas, kept.view(torch.int8), scale * LOG2_E),
        *(heads, heads // k.shape[1], n, block, step, count, *k.stride()[:3]),
        DIM=dim,
        STEPS=max(16, triton.next_power_of_2(step)),
        WIDE=WIDE,
        num_warps=4,
    )
    return kept


def column_lists(kept: Bool[Tensor, "*lists n"]) -> tuple[Int[Tensor, " lists+1"], Int[Tensor, " kept"]]:
    """Where each list starts, and the kept columns list by list, in ascending order. Waits for the number of them."""
    rows = kept.reshape(-1, kept.shape[-1])
    starts = torch.nn.functional.pad(rows.sum(1).cumsum(0), (1, 0))
    columns = torch.empty(int(starts[-1]), dtype=torch.int32, device=kept.device)
    if len(columns):
        write[(len(rows),)](rows.view(torch.int8), starts, columns, rows.shape[1], WIDE=LISTED, num_warps=4)
    return starts, columns


@triton.jit
def pool(
    q,  # [batch, heads, n, DIM], by its strides
    anchors,  # [batch, heads, n]
    first,  # [batch]
    means,  # [batch, heads, count, DIM]
    wanted,  # [batch, heads, count]
    heads,
    n,
    block,
    count,
    q_batch,
    q_head,
    q_step,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
):  # pragma: no cover - compiled
    """Mean query and mean anchor of one block. A block beyond the sequence has an anchor that nothing comes near."""
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    lane = tl.arange(0, DIM)
    before = tl.load(first + batch)
    begin = before + tl.program_id(0) * block
    end = tl.minimum(begin + block, n)
    q += batch * q_batch + head * q_head
    line = tl.program_id(1).to(tl.int64)
    query = tl.zeros((DIM,), tl.float32)
    anchor = tl.zeros((ROWS,), tl.float32)
    for at in range(begin, end, ROWS):
        row = (at + tl.arange(0, ROWS)).to(tl.int64)
        inside = row < end
        rows = tl.load(q + row[:, None] * q_step + lane[None, :], mask=inside[:, None], other=0.0)
        query += tl.sum(rows.to(tl.float32), 0)
        anchor += tl.load(anchors + line * n + row, mask=inside, other=0.0)
    size = tl.maximum(end - begin, 1).to(tl.float32)
    mean = tl.where(begin < end, tl.sum(anchor, 0) / size, float("inf"))
    tl.store(means + (line * count + tl.program_id(0)) * DIM + lane, query / size)
    tl.store(wanted + line * count + tl.program_id(0), mean)


@triton.jit
def hits(
    means,  # [batch, heads, count, DIM]
    wanted,  # [batch, heads, count]
    k,  # [batch, heads / shared, n, DIM], by its strides
    first,  # [batch]
    thetas,  # [heads]
    kept,  # [batch, heads, groups, n], zeros
    scale,
    heads,
    shared,
    n,
    block,
    step,
    count,
    k_batch,
    k_head,
    k_step,
    DIM: tl.constexpr,
    STEPS: tl.constexpr,
    WIDE: tl.constexpr,
):  # pragma: no cover - compiled
    """WIDE columns for one group: a column is kept when any of the group's blocks wants it. Groups come one after the other,
    so that keys are still in the cache for the next one."""
    batch = (tl.program_id(2) // heads).to(tl.int64)
    head = (tl.program_id(2) % heads).to(tl.int64)
    group = tl.program_id(0)
    before = tl.load(first + batch)
    column = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    end = tl.minimum(group * step * block - block, n - before)
    if tl.program_id(1) * WIDE < end:
        between = (column >= block) & (column < end)
        lane = tl.arange(0, DIM)
        place = group * step + tl.arange(0, STEPS)
        mine = (tl.arange(0, STEPS) < step) & (place < count)
        line = tl.program_id(2).to(tl.int64) * count + place
        queries = tl.load(means + line[:, None] * DIM + lane[None, :], mask=mine[:, None], other=0.0)
        limit = tl.load(wanted + line, mask=mine, other=float("inf"))
        k += batch * k_batch + head // shared * k_head
        there = (before + column).to(tl.int64)[:, None] * k_step + lane[None, :]
        keys = tl.load(k + there, mask=between[:, None], other=0.0)
        logits = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
        # A theta without bounds keeps every column of a real block, and no block beyond the end keeps any.
        near = (logits + tl.load(thetas + head) >= limit[:, None]) & (limit < float("inf"))[:, None]
        hit = tl.max(near.to(tl.int32), 0) & between.to(tl.int32)
        row = tl.program_id(2).to(tl.int64) * tl.num_programs(0) + group
        tl.store(kept + row * n + before + column, hit.to(tl.int8), mask=between)


@triton.jit
def write(
    kept,  # [lists, n]
    starts,  # [lists + 1]
    columns,  # [kept]
    n,
    WIDE: tl.constexpr,
):  # pragma: no cover - compiled
    """One list, in order."""
    line = tl.program_id(0).to(tl.int64)
    done = tl.load(starts + line)
    for at in range(0, n, WIDE):
        column = at + tl.arange(0, WIDE)
        flag = tl.load(kept + line * n + column, mask=column < n, other=0).to(tl.int32)
        tl.store(columns + done + tl.cumsum(flag, 0) - flag, column, mask=flag > 0)
        done += tl.sum(flag, 0)
