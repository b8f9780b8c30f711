"""Attention of one query a head, to all keys or to listed ones, in Triton. Import this module only where `gpu_path()` is
"triton". The reference of `gathered` is `attention_reference.gathered`.

Time is that of reading keys and values: query heads that read the same ones share a program, and the keys are split over as
many programs as fill the device. A second kernel combines their parts.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from fewer.errors import KernelError
from fewer.kernels.gpu.online import LOG2_E, attend, divided, start
from fewer.kernels.gpu.operands import checked, firsts, processors, scaled, strides

WIDE = 64
"""Keys in a step."""
SHORTEST = 128
"""Keys in a part, at least."""
MOST = 64
"""Parts, at most."""


def dense(
    q: Float[Tensor, "batch heads dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    scale: float | None = None,
    first: Int[Tensor, " batch"] | None = None,
    parts: int | None = None,
) -> Float[Tensor, "batch heads dim"]:
    """To every key from `first` on: the twin that reads all.

    Args:
        parts: that the keys are split into; by default as many as fill the device.

    Raises:
        KernelError: operands that the kernel does not take.
    """
    return _attended(q, k, v, None, scale, first, parts)


def gathered(
    q: Float[Tensor, "batch heads dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    indices: Int[Tensor, "batch *lists kept"],
    scale: float | None = None,
    parts: int | None = None,
) -> Float[Tensor, "batch heads dim"]:
    """To the listed keys (TidalDecode, Yang et al. 2024, arXiv 2410.05076).

    Args:
        indices: [batch, kept] for all heads, or [batch, kv_heads, kept], or [batch, heads, kept]: then each query head reads
            its own keys, heads / kv_heads times as many bytes. No key twice; an index below 0 is no key. An index of `keys` or
            more is not looked for: it would be read beyond the cache.

    Raises:
        KernelError: operands that the kernel does not take.
    """
    return _attended(q, k, v, indices, scale, None, parts)


def _attended(
    q: Tensor, k: Tensor, v: Tensor, indices: Tensor | None, scale: float | None, first: Tensor | None, parts: int | None
) -> Tensor:
    whole, k, v = checked(q[:, :, None], k, v)
    q = whole[:, :, 0].contiguous()
    (batch, heads, dim), (_, kv_heads, keys, _) = q.shape, k.shape
    lists, together, list_steps = _lists(indices, batch, heads, kv_heads)
    length = keys if lists is None else lists.shape[-1]
    units = heads // together
    if parts is None:  # four programs on each processor, if the keys are enough for them
        parts = min(triton.cdiv(length, SHORTEST), MOST, 4 * processors(q) // (batch * units))
    parts = max(1, parts)
    chunk = triton.cdiv(triton.cdiv(length, parts), WIDE) * WIDE
    out = torch.empty_like(q)
    peaks, totals = torch.empty(2, batch, heads, parts, device=q.device)
    sums = out if parts == 1 else torch.empty(batch, heads, parts, dim, device=q.device)
    part[(parts, units, batch)](
        *(q, k, v, out if lists is None else lists, firsts(first, q), peaks, totals, sums, scaled(q, scale) * LOG2_E),
        *(length, chunk, together, heads // kv_heads, *strides(k, v), *list_steps),
        DIM=dim,
        TILE=1 if together == 1 else max(16, triton.next_power_of_2(together)),
        WIDE=WIDE if dim * q.element_size() <= 256 else WIDE // 2,
        LISTED=lists is not None,
        ALONE=parts == 1,
        num_warps=4,
        num_stages=3,
    )
    if parts > 1:
        combine[(batch * heads,)](peaks, totals, sums, out, parts, DIM=dim, PARTS=triton.next_power_of_2(parts), num_warps=4)
    return out


def _lists(indices: Tensor | None, batch: int, heads: int, kv_heads: int) -> tuple[Tensor | None, int, tuple[int, int]]:
    """The lists, how many query heads share one and its keys, and the steps to the next sequence's and the next heads' list."""
    if indices is None:
        return None, heads // kv_heads, (0, 0)
    shape = indices.shape
    if len(shape) not in (2, 3) or shape[0] != batch or (len(shape) == 3 and shape[1] not in (kv_heads, heads)):
        raise KernelError(
            f"indices are {tuple(shape)}; give [{batch}, kept], [{batch}, {kv_heads}, kept] or [{batch}, {heads}, kept]."
        )
    lists = indices if indices.stride(-1) == 1 else indices.contiguous()
    if lists.ndim == 2:
        return lists, heads // kv_heads, (lists.stride(0), 0)
    return lists, heads // lists.shape[1], (lists.stride(0), lists.stride(1))


@triton.jit
def part(
    q,  # [batch, heads, DIM]
    k,  # [batch, heads / shared, keys, DIM], by its strides, as v
    v,
    indices,  # [batch, length], or a list for each program of heads
    first,  # [batch]
    peaks,  # [batch, heads, parts]
    totals,  # [batch, heads, parts]
    sums,  # [batch, heads, parts, DIM]: of one part the result itself
    scale,
    length,
    chunk,
    together,  # query heads in a program
    shared,
    k_batch,
    k_head,
    k_step,
    v_batch,
    v_head,
    v_step,
    list_batch,
    list_head,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    WIDE: tl.constexpr,
    LISTED: tl.constexpr,
    ALONE: tl.constexpr,
):  # pragma: no cover - compiled
    """One part of the keys, for the query heads that read them."""
    unit = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    head = unit * together + tl.arange(0, TILE)
    inside = tl.arange(0, TILE) < together
    lane = tl.arange(0, DIM)
    line = batch * tl.num_programs(1) * together + head
    queries = tl.load(q + line[:, None] * DIM + lane[None, :], mask=inside[:, None], other=0.0)
    kv_head = (unit * together // shared).to(tl.int64)
    k += batch * k_batch + kv_head * k_head
    v += batch * v_batch + kv_head * v_head
    indices += batch * list_batch + unit.to(tl.int64) * list_head
    before = tl.load(first + batch)
    peak, total, summed = start(TILE, DIM)
    begin = tl.program_id(0) * chunk
    for at in range(begin, tl.minimum(begin + chunk, length), WIDE):
        place = at + tl.arange(0, WIDE)
        if LISTED:
            column = tl.load(indices + place, mask=place < length, other=-1).to(tl.int64)
            real = column >= 0
        else:
            column = place.to(tl.int64)
            real = (place < length) & (place >= before)
        keys = tl.load(k + column[:, None] * k_step + lane[None, :], mask=real[:, None], other=0.0)
        values = tl.load(v + column[:, None] * v_step + lane[None, :], mask=real[:, None], other=0.0)
        peak, total, summed = attend(queries, keys, values, real[None, :], peak, total, summed, scale)
    if ALONE:
        tl.store(sums + line[:, None] * DIM + lane[None, :], divided(summed, total), mask=inside[:, None])
    else:
        there = line * tl.num_programs(0) + tl.program_id(0)
        tl.store(sums + there[:, None] * DIM + lane[None, :], summed, mask=inside[:, None])
        tl.store(peaks + there, peak, mask=inside)
        tl.store(totals + there, total, mask=inside)


@triton.jit
def combine(
    peaks,  # [lines, parts]
    totals,  # [lines, parts]
    sums,  # [lines, parts, DIM]
    out,  # [lines, DIM]
    parts,
    DIM: tl.constexpr,
    PARTS: tl.constexpr,
):  # pragma: no cover - compiled
    """The parts of one query head in one softmax."""
    line = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, PARTS)
    lane = tl.arange(0, DIM)
    there = line * parts + at
    peak = tl.load(peaks + there, mask=at < parts, other=float("-inf"))
    highest = tl.max(peak, 0)
    weight = tl.exp2(peak - tl.where(highest == float("-inf"), 0.0, highest))
    total = tl.sum(weight * tl.load(totals + there, mask=at < parts, other=0.0), 0)
    part_sums = tl.load(sums + there[:, None] * DIM + lane[None, :], mask=(at < parts)[:, None], other=0.0)
    mean = tl.sum(weight[:, None] * part_sums, 0) / tl.where(total == 0.0, 1.0, total)
    tl.store(out + line * DIM + lane, mean)
