"""Attention of one new token to a cache: the one place that chooses between the kernels and torch."""

import ctypes
import logging
import math
import struct
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fewer.errors import KernelError
from fewer.kernels.attention_reference import gathered
from fewer.kernels.dispatch import cpu_path

log = logging.getLogger("fewer.kernels")

LOG2_E = math.log2(math.e)
_LINE = 64  # rows of logits are filled up to a multiple of this: a tile of the kernel
_CALL = struct.Struct("31qf4x")
_Call = ctypes.c_char * _CALL.size
_Join = ctypes.c_int64 * 2


class Looked(NamedTuple):
    """What dense decoding saw, so that keys can be chosen."""

    out: Float[Tensor, "batch heads 1 dim"]
    logits: Float[Tensor, "batch heads wide"]
    """Scaled products times log2(e), float32; what lies beyond the keys has -1e30."""


def decode(
    q: Float[Tensor, "batch heads 1 dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    scale: float,
    indices: Int[Tensor, "batch sets count"] | None = None,
) -> Float[Tensor, "batch heads 1 dim"]:
    """Softmax attention of one query a head to all keys, or to the listed ones.

    On a CPU in numba for float32 and bfloat16 and heads that 16 divides; else in torch, which is said once. Only components
    must lie side by side: a cache is read where it is.

    Args:
        indices: int32 or int64; one set for all heads, for each KV head, or for each head. No key twice; what is below 0 is no
            key. A query without keys gets zeros.

    Raises:
        KernelError: lists of another number or type, or one that names a key that is not there.
    """
    if indices is not None:
        _check(q, k, indices)
    if (why := _refusal(q, k, v)) is None:
        return _by_kernel(q, k, v, scale, indices, False).out
    _say(why)
    if indices is not None:
        if indices.numel() and int(indices.max()) >= k.shape[2]:
            raise _beyond(k.shape[2])
        return gathered(q[:, :, 0], k, v, indices, scale)[:, :, None]
    return scaled_dot_product_attention(q, k, v, scale=scale, enable_gqa=q.shape[1] != k.shape[1])


def look(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Looked:
    """As `decode` of all keys, with the logits."""
    if (why := _refusal(q, k, v)) is None:
        return _by_kernel(q, k, v, scale, None, True)
    _say(why)
    batch, kv_heads, keys, dim = k.shape
    grouped = q.reshape(batch, kv_heads, -1, dim)
    logits = (grouped.float() @ k.float().mT).view(batch, -1, keys) * scale
    out = (logits.softmax(-1).view(batch, kv_heads, -1, keys) @ v.float()).view(q.shape).to(q.dtype)
    return Looked(out, logits * LOG2_E)


def _by_kernel(q: Tensor, k: Tensor, v: Tensor, scale: float, indices: Tensor | None, logits: bool) -> Looked:
    kernel, run, shortest = _kernel()
    query = q if q.dtype is torch.float32 else q.float()
    batch, heads, _, dim = q.shape
    kv_heads, keys = k.shape[1], k.shape[2]
    size = k.element_size()
    together, length, list_batch, list_step, lists, long = heads // kv_heads, keys, 0, 0, 0, 0
    share = together
    if indices is not None:
        sets, length = indices.shape[1], indices.shape[2]
        if indices.stride(2) != 1:
            indices = indices.contiguous()
        long, lists = int(indices.dtype is torch.int64), indices.data_ptr()
        list_batch, list_step = (s * (8 if long else 4) for s in indices.stride()[:2])
        if sets == 1:
            list_step = 0
        if sets == heads:
            together = 1
    visited, row, row_at = side_by_side(k, v) if together == share and not list_step else (1, 0, 0)
    threads = torch.get_num_threads()
    units = batch * heads // (together * visited)
    parts = 1 if threads == 1 else max(1, min(length * visited // shortest, -(-4 * threads // units)))
    out = torch.empty(batch, heads, 1, dim)
    wide = -(-keys // _LINE) * _LINE
    seen = torch.empty(batch, heads, wide) if logits else None
    partial = torch.empty(batch, heads, parts, dim + 2) if parts > 1 else None
    wrong = ctypes.c_int64()
    q_batch, q_head, *_ = query.stride()
    k_batch, k_head, k_step, _ = k.stride()
    v_batch, v_head, v_step, _ = v.stride()
    packed = _CALL.pack(
        query.data_ptr(),
        k.data_ptr(),
        v.data_ptr(),
        out.data_ptr(),
        lists,
        0 if seen is None else seen.data_ptr(),
        0 if partial is None else partial.data_ptr(),
        ctypes.addressof(wrong),
        4 * q_batch,
        4 * q_head,
        size * k_batch,
        size * k_head,
        size * k_step,
        size * v_batch,
        size * v_head,
        size * v_step,
        list_batch,
        list_step,
        heads,
        together,
        share,
        dim,
        keys,
        length,
        parts,
        wide,
        size == 2,
        long,
        visited,
        row,
        row_at,
        scale * LOG2_E,
    )
    call = _Call.from_buffer_copy(packed)
    address = ctypes.addressof(call)
    run(kernel, units * parts, address)
    if parts > 1:
        job = _Join(address, batch * heads)
        _join().ctypes(ctypes.addressof(job))
    if wrong.value:
        raise _beyond(keys)
    return Looked(out if q.dtype is torch.float32 else out.to(q.dtype), seen)  # type: ignore[arg-type]


def side_by_side(k: Tensor, v: Tensor) -> tuple[int, int, int]:
    """(KV heads that a unit of the kernel is to visit; bytes of a key's row; where it begins, from the keys' address on).

    All heads where a token's keys and values of all of them fill a row, as in `fewer.attention.Cache`; else one at a time.
    """
    size, (_, kv_heads, _, dim) = k.element_size(), k.shape
    if k.stride() != v.stride():
        return 1, 0, 0
    _, head, step, _ = k.stride()
    apart = v.data_ptr() - k.data_ptr()
    row = size * ((kv_heads - 1) * head + dim) + abs(apart)
    return (kv_heads, row, min(apart, 0)) if row <= size * step else (1, 0, 0)


def _refusal(q: Tensor, k: Tensor, v: Tensor) -> str | None:
    """Why the kernel cannot run; None when it can."""
    if cpu_path() == "reference":
        return "FEWER_KERNELS is reference, or numba is missing"
    if not (k.dtype is v.dtype is q.dtype and q.dtype in (torch.float32, torch.bfloat16)):
        return f"queries, keys and values are {q.dtype}, {k.dtype}, {v.dtype}, not all float32 or all bfloat16"
    if q.shape[3] % 16 or q.stride(3) != 1 or k.stride(3) != 1 or v.stride(3) != 1:
        return "components of heads are not side by side, or no multiple of 16"
    if q.is_cpu and k.is_cpu and v.is_cpu:
        return None
    return f"queries, keys and values lie on {q.device}, {k.device}, {v.device}"


def _check(q: Tensor, k: Tensor, indices: Tensor) -> None:
    fits = indices.ndim == 3 and indices.shape[0] == q.shape[0] and indices.shape[1] in (1, k.shape[1], q.shape[1])
    if not fits or indices.dtype not in (torch.int32, torch.int64):
        raise KernelError(
            f"indices are {tuple(indices.shape)} of {indices.dtype}; give int32 or int64 [{q.shape[0]}, sets, count] with 1, "
            f"{k.shape[1]} or {q.shape[1]} sets."
        )


def _beyond(keys: int) -> KernelError:
    return KernelError(f"the lists name keys that are not there; allowed: below {keys}.")


@cache
def _say(why: str) -> None:
    log.warning("decoding attention runs in torch: %s", why)


@cache
def _kernel() -> tuple[Any, Any, int]:
    """The kernel, how to run it, and keys in a part at least."""
    from fewer.kernels.cpu.attention import decode
    from fewer.kernels.cpu.team import run

    return getattr(decode, cpu_path())(), run, decode.SHORTEST


@cache
def _join() -> Any:
    from fewer.kernels.cpu.attention.decode import join

    return join()
