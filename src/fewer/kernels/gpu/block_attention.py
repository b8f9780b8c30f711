"""Attention to listed key blocks in Triton. Import this module only where `gpu_path()` is "triton". The reference is
`attention_reference.blocks`.
"""

import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from fewer.errors import KernelError
from fewer.kernels.block_lists import BlockLists
from fewer.kernels.gpu.online import LOG2_E, attend, divided, start
from fewer.kernels.gpu.operands import Launch, checked, firsts, output, scaled, strides


def blocks(
    q: Float[Tensor, "batch heads queries dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    lists: BlockLists,
    causal: bool = False,
    scale: float | None = None,
    first: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch heads queries dim"]:
    """Softmax over the keys of the listed blocks; a query without keys gets zeros.

    Args:
        causal: no key after the query; give lists that were made so.
        first: no key before this one, of each sequence.

    Raises:
        KernelError: operands that the kernel does not take, or lists of another shape.
    """
    q, k, v = checked(q, k, v)
    batch, heads, n, dim = q.shape
    block, tall, broad = lists.block, triton.cdiv(n, lists.block), triton.cdiv(k.shape[2], lists.block)
    if lists.indices.shape[2:] != (tall, broad) or (causal and n != k.shape[2]):
        raise KernelError(
            f"the lists are for {tuple(lists.indices.shape[2:])} blocks of {block}; {n} queries and {k.shape[2]} keys have "
            f"{(tall, broad)}, and as many of both where it is causal."
        )
    if lists.indices.shape[0] not in (1, batch) or lists.indices.shape[1] not in (1, heads):
        raise KernelError(f"the lists are {tuple(lists.indices.shape)}, for a batch of {batch} and {heads} heads.")
    counts, indices = lists.counts.expand(batch, heads, -1), lists.indices.expand(batch, heads, -1, -1)
    out = output(q)
    cut = Launch.of(q, block)
    grid = (tall * triton.cdiv(block, cut.rows), batch * heads)
    blockwise[grid](
        *(q, k, v, firsts(first, q), counts, indices, out, scaled(q, scale) * LOG2_E, heads, heads // k.shape[1]),
        *(n, k.shape[2], *strides(q, k, v, out), *counts.stride(), *indices.stride()[:3]),
        *(dim, block, causal, cut.rows, cut.wide),
        num_warps=cut.warps,
        num_stages=cut.stages,
    )
    return out


@triton.jit
def blockwise(
    q,  # [batch, heads, n, DIM], by its strides, as the next two and out
    k,  # [batch, heads / shared, keys, DIM]
    v,
    first,  # [batch]
    counts,  # [batch, heads, query blocks], by its strides
    indices,  # [batch, heads, query blocks, key blocks], by its strides
    out,
    scale,
    heads,
    shared,
    n,
    keys,
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
    count_batch,
    count_head,
    count_step,
    index_batch,
    index_head,
    index_step,
    DIM: tl.constexpr,
    BLOCK: tl.constexpr,
    CAUSAL: tl.constexpr,
    ROWS: tl.constexpr,
    WIDE: tl.constexpr,
):  # pragma: no cover - compiled
    """ROWS queries of one block. The listed keys are counted through from one block to the next: c is key c % BLOCK of listed
    block c // BLOCK. So a step is as wide as it should be, whatever the block.
    """
    tiles: tl.constexpr = (BLOCK + ROWS - 1) // ROWS
    block = tl.program_id(0) // tiles
    within = tl.program_id(0) % tiles * ROWS + tl.arange(0, ROWS)
    row = block * BLOCK + within
    inside = (within < BLOCK) & (row < n)
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    lane = tl.arange(0, DIM)
    there = row.to(tl.int64)[:, None]
    q += batch * q_batch + head * q_head + there * q_step + lane[None, :]
    k += batch * k_batch + head // shared * k_head
    v += batch * v_batch + head // shared * v_head
    out += batch * out_batch + head * out_head + there * out_step + lane[None, :]
    indices += batch * index_batch + head * index_head + block.to(tl.int64) * index_step
    end = tl.load(counts + batch * count_batch + head * count_head + block * count_step) * BLOCK
    before = tl.load(first + batch)
    queries = tl.load(q, mask=inside[:, None], other=0.0)
    peak, total, sums = start(ROWS, DIM)
    for at in range(0, end, WIDE):
        c = at + tl.arange(0, WIDE)
        column = tl.load(indices + c // BLOCK, mask=c < end, other=0) * BLOCK + c % BLOCK
        real = (c < end) & (column < keys)
        far = column.to(tl.int64)[:, None]
        some_keys = tl.load(k + far * k_step + lane[None, :], mask=real[:, None], other=0.0)
        values = tl.load(v + far * v_step + lane[None, :], mask=real[:, None], other=0.0)
        kept = (real & (column >= before))[None, :]
        if CAUSAL:
            kept = kept & (column[None, :] <= row[:, None])
        peak, total, sums = attend(queries, some_keys, values, kept, peak, total, sums, scale)
    tl.store(out, divided(sums, total), mask=inside[:, None])
