"""Attention to blocks of keys: the one place that chooses between the kernels and torch."""

import logging
from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.errors import KernelError
from fewer.kernels.attention_prefill import compiled, refusal
from fewer.kernels.attention_reference import attend as reference
from fewer.kernels.cpu.attention.call import described, room
from fewer.kernels.cpu.team import run
from fewer.kernels.dispatch import attention_path

log = logging.getLogger("fewer.kernels")

ROWS = 256
"""Queries that torch handles at once."""


def blocks(
    q: Float[Tensor, "batch heads queries dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    mask: Bool[Tensor, "#batch #heads query_blocks key_blocks"],
    block: int,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries dim"]:
    """Softmax over the keys of the blocks that `mask` keeps for each block of queries; a query without keys gets zeros.

    In numba on the CPU for float32 and heads that 16 divides; else in torch, which is said once.

    Args:
        block: positions in a block; the last one of queries and of keys may be shorter.
        causal: queries are the last keys, and see none after their own.

    Raises:
        KernelError: a mask that is not bool, or not of these blocks.
    """
    whole = q.shape[0], q.shape[1], -(-q.shape[2] // block), -(-k.shape[2] // block)
    fits = mask.ndim == 4 and all(size in (1, of) for size, of in zip(mask.shape[:2], whole, strict=False))
    if mask.dtype != torch.bool or not fits or tuple(mask.shape[2:]) != whole[2:]:
        raise KernelError(
            f"the mask is {tuple(mask.shape)} of {mask.dtype}; {q.shape[2]} queries and {k.shape[2]} keys in blocks of {block} "
            f"need bool {whole}, the first two of which may be 1."
        )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if why := refusal(q, k, v):
        _say(why)
        return _by_torch(q, k, v, mask.expand(whole), block, causal, scale)
    from fewer.kernels.cpu.attention.blocks import span

    q, k, v, mask = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v, mask.expand(whole)))
    out = room(q)
    call = described(q, k, v, out, scale, causal, mask.data_ptr(), *mask.stride()[:3], block)
    run(compiled("blocks", attention_path()), whole[0] * whole[1] * -(-q.shape[2] // span(block)), call.ctypes.data)
    return out


def _by_torch(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, block: int, causal: bool, scale: float) -> Tensor:
    """Some blocks of queries at a time, so that not all cells are held."""
    found = []
    for start in range(0, q.shape[2], ROWS):
        some = q[:, :, start : start + ROWS]
        at = torch.arange(start, start + some.shape[2], device=q.device)
        kept = mask[:, :, at // block].repeat_interleave(block, 3)[..., : k.shape[2]]
        if causal:
            kept = kept & (torch.arange(k.shape[2], device=q.device) <= (at + k.shape[2] - q.shape[2])[:, None])
        found.append(reference(some, k, v, kept, scale))
    return torch.cat(found, 2)


@cache
def _say(why: str) -> None:
    log.warning("attention to blocks runs in torch: %s", why)
