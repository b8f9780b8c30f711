"""Anchor attention for prefill in Triton: near keys, then columns kept for a group, in one softmax (Zhang et al. 2025, arXiv
2505.23520). Import this module only where `gpu_path()` is "triton". The reference is `attention_reference.anchor`.
"""

from typing import Literal, NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fewer.errors import KernelError
from fewer.kernels.gpu.anchor_columns import column_lists, search
from fewer.kernels.gpu.online import LOG2_E, among, attend, divided, start
from fewer.kernels.gpu.operands import Launch, checked, firsts, output, scaled, strides


class Near(NamedTuple):
    """Attention to the keys that are always kept, and what is needed to go on from there."""

    out: Float[Tensor, "batch heads n dim"]
    """The result so far, in the type of q: no sums in float32 are held for it."""
    peaks: Float[Tensor, "batch heads n"]
    """Largest logit of each query, times log2(e): the anchor."""
    totals: Float[Tensor, "batch heads n"]
    """Sum of 2^(logit - peak)."""


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
    """Phases 1 to 3. Sums are float32; the mean queries of phase 2 are rounded to the type of q.

    The number of kept columns is read back once, to make room for their lists: the host waits for phase 2.

    Raises:
        KernelError: operands that the kernels do not take.
    """
    q, k, v = checked(q, k, v)
    found = near(q, k, v, block * step, block, block, scale, first)
    columns = anchor_columns(q, k, found, theta, block, step, scale, first, by)
    return far(q, k, v, found, columns, block * step, scale, first)


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
    """As `anchor`, with columns that someone else chose, none of them always kept: for its random twin."""
    q, k, v = checked(q, k, v)
    return far(q, k, v, near(q, k, v, block * step, block, block, scale, first), columns, block * step, scale, first)


def near(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    group: int,
    init: int,
    local: int,
    scale: float | None = None,
    first: Tensor | None = None,
) -> Near:
    """Phase 1: the `init` first keys, the `local` ones before the own group, and the own group up to each query."""
    batch, heads, n, dim = q.shape
    if k.shape[2] != n or group < 1 or init < 0 or local < 0:
        raise KernelError(
            f"{n} queries, {k.shape[2]} keys, groups of {group}, {init} first keys and {local} before a group; give as many "
            "keys as queries, and nothing below zero."
        )
    found = Near(
        output(q, empty=first is None),
        torch.full((batch, heads, n), -torch.inf, device=q.device),
        torch.zeros(batch, heads, n, device=q.device),
    )
    cut = Launch.of(q, group)
    grid = (triton.cdiv(n, group) * triton.cdiv(group, cut.rows), batch * heads)
    nearest[grid](
        *(q, k, v, firsts(first, q), *found, scaled(q, scale) * LOG2_E, heads, heads // k.shape[1], n, group, init, local),
        *strides(q, k, v, found.out),
        *(dim, cut.rows, cut.wide),
        num_warps=cut.warps,
        num_stages=cut.stages,
    )
    return found


def anchor_columns(
    q: Tensor,
    k: Tensor,
    found: Near,
    theta: float | Float[Tensor, " heads"],
    block: int,
    step: int,
    scale: float | None = None,
    first: Tensor | None = None,
    by: Literal["max", "sum"] = "max",
) -> Bool[Tensor, "batch heads groups n"]:
    """Phase 2: the columns of each group whose logit with a mean query is within theta of that block's mean anchor."""
    anchors = found.peaks if by == "max" else found.peaks + found.totals.log2()
    return search(q, k, anchors, theta, block, step, scaled(q, scale), firsts(first, q))


def far(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    found: Near,
    columns: Bool[Tensor, "batch heads groups n"],
    group: int,
    scale: float | None = None,
    first: Tensor | None = None,
) -> Float[Tensor, "batch heads n dim"]:
    """Phase 3: the same softmax goes on over the kept columns. The result replaces `found.out`."""
    (batch, heads, n, dim), groups = q.shape, triton.cdiv(q.shape[2], group)
    if columns.shape != (batch, heads, groups, n):
        raise KernelError(
            f"columns are {tuple(columns.shape)}; {(batch, heads, groups, n)} is wanted: one row for each group of {group} "
            "queries."
        )
    starts, kept = column_lists(columns)
    cut = Launch.of(q, group)
    farther[(groups * triton.cdiv(group, cut.rows), batch * heads)](
        *(q, k, v, firsts(first, q), *found, starts, kept),
        *(scaled(q, scale) * LOG2_E, heads, heads // k.shape[1], n, group, groups),
        *strides(q, k, v, found.out),
        *(dim, cut.rows, cut.wide),
        num_warps=cut.warps,
        num_stages=cut.stages,
    )
    return found.out


@triton.jit
def nearest(
    q,  # [batch, heads, n, DIM], by its strides, as the next two and out
    k,  # [batch, heads / shared, n, DIM]
    v,
    first,  # [batch]
    out,
    peaks,  # [batch, heads, n]
    totals,  # [batch, heads, n]
    scale,
    heads,
    shared,
    n,
    group,  # queries
    init,
    local,
    q_batch,
    q_head,
    q_step,
    k_batch,
    k_head,
    k_step,
    v_batch,
    v_head,
    v_step,
    out_batch,
    out_head,
    out_step,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    WIDE: tl.constexpr,
):  # pragma: no cover - compiled
    """ROWS queries of one group. Positions are counted from the first token."""
    tiles = tl.cdiv(group, ROWS)
    begin = tl.program_id(0) // tiles * group
    row = tl.program_id(0) % tiles * ROWS + tl.arange(0, ROWS)
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    before = tl.load(first + batch).to(tl.int64)
    end = tl.minimum(begin + tl.minimum(tl.program_id(0) % tiles * ROWS + ROWS, group), n - before.to(tl.int32))
    inside = (row < group) & (begin + row < end)
    row += begin
    lane = tl.arange(0, DIM)
    q += batch * q_batch + head * q_head + before * q_step
    k += batch * k_batch + head // shared * k_head + before * k_step
    v += batch * v_batch + head // shared * v_head + before * v_step
    out += batch * out_batch + head * out_head + before * out_step
    queries = tl.load(q + row.to(tl.int64)[:, None] * q_step + lane[None, :], mask=inside[:, None], other=0.0)
    init = tl.minimum(init, begin)
    peak, total, sums = start(ROWS, DIM)
    peak, total, sums = among(queries, k, v, row, 0, init, peak, total, sums, scale, k_step, v_step, DIM, WIDE)
    local = tl.maximum(init, begin - local)
    peak, total, sums = among(queries, k, v, row, local, end, peak, total, sums, scale, k_step, v_step, DIM, WIDE)
    there = row.to(tl.int64)
    mean = divided(sums, total)
    tl.store(out + there[:, None] * out_step + lane[None, :], mean, mask=inside[:, None])
    line = tl.program_id(1).to(tl.int64) * n + before
    tl.store(peaks + line + there, peak, mask=inside)
    tl.store(totals + line + there, total, mask=inside)


@triton.jit
def farther(
    q,  # as above
    k,
    v,
    first,
    out,
    peaks,
    totals,
    starts,  # [batch * heads * groups + 1]
    columns,  # [kept], counted from the first key in memory
    scale,
    heads,
    shared,
    n,
    group,
    groups,
    q_batch,
    q_head,
    q_step,
    k_batch,
    k_head,
    k_step,
    v_batch,
    v_head,
    v_step,
    out_batch,
    out_head,
    out_step,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    WIDE: tl.constexpr,
):  # pragma: no cover - compiled
    """ROWS queries of one group go on with the group's columns. All of these lie before the group. The last group, which may
    have most, comes first.
    """
    tiles = tl.cdiv(group, ROWS)
    group_of_queries = groups - 1 - tl.program_id(0) // tiles
    at_list = starts + tl.program_id(1).to(tl.int64) * groups + group_of_queries
    begin = tl.load(at_list)
    end = tl.load(at_list + 1)
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    before = tl.load(first + batch)
    row = tl.program_id(0) % tiles * ROWS + tl.arange(0, ROWS)
    inside = (row < group) & (before + group_of_queries * group + row < n) & (begin < end)
    there = (before + group_of_queries * group + row).to(tl.int64)
    lane = tl.arange(0, DIM)
    q += batch * q_batch + head * q_head
    k += batch * k_batch + head // shared * k_head
    v += batch * v_batch + head // shared * v_head
    out += batch * out_batch + head * out_head + there[:, None] * out_step + lane[None, :]
    line = tl.program_id(1).to(tl.int64) * n
    queries = tl.load(q + there[:, None] * q_step + lane[None, :], mask=inside[:, None], other=0.0)
    peak = tl.load(peaks + line + there, mask=inside, other=0.0)
    total = tl.load(totals + line + there, mask=inside, other=1.0)
    sums = tl.load(out, mask=inside[:, None], other=0.0).to(tl.float32) * total[:, None]
    for at in range(begin, end, WIDE):
        listed = at + tl.arange(0, WIDE)
        column = tl.load(columns + listed, mask=listed < end, other=0).to(tl.int64)[:, None]
        keys = tl.load(k + column * k_step + lane[None, :], mask=(listed < end)[:, None], other=0.0)
        values = tl.load(v + column * v_step + lane[None, :], mask=(listed < end)[:, None], other=0.0)
        peak, total, sums = attend(queries, keys, values, (listed < end)[None, :], peak, total, sums, scale)
    tl.store(out, divided(sums, total), mask=inside[:, None])
