"""Attention of many queries: one place that chooses the path, whatever keys are kept."""

import math
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fewer.errors import KernelError
from fewer.kernels.cpu.attention.call import described, room
from fewer.kernels.cpu.team import run
from fewer.kernels.dispatch import Path, attention_path, cpu_path


def refusal(q: Tensor, k: Tensor, v: Tensor) -> str:
    """Why the kernels cannot run on these tensors; empty when they can."""
    if q.device.type != "cpu":
        return f"the tensors are on {q.device.type}"
    if cpu_path() == "reference":
        return "the path is the reference"
    if others := {q.dtype, k.dtype, v.dtype} - {torch.float32}:
        return f"the numbers are {others.pop()}, not float32"
    if q.shape[-1] % 16:
        return f"heads of {q.shape[-1]} are no multiple of 16"
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        return "gradients are wanted"
    return ""


def dense(
    q: Float[Tensor, "batch heads queries dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    scale: float,
    causal: bool = True,
) -> Float[Tensor, "batch heads queries dim"]:
    """Softmax attention to all keys; `refusal` must be empty. Causal queries are the last keys: each sees up to its own."""
    from fewer.kernels.cpu.attention.prefill import GROUP
    from fewer.kernels.cpu.attention.tiles import QUERIES

    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    out = room(q)
    call = described(q, k, v, out, scale, causal)
    groups = -(-q.shape[2] // (GROUP * QUERIES))
    run(compiled("prefill", attention_path()), q.shape[0] * k.shape[1] * groups, call.ctypes.data)
    return out


def stripes_refusal(q: Tensor, k: Tensor, v: Tensor, group: int) -> str:
    """Why `anchor` and `stripes` cannot run; empty when they can."""
    if group % 64:
        return f"groups of {group} queries are no multiple of 64"
    return refusal(q, k, v)


def anchor(
    q: Float[Tensor, "batch heads n dim"],
    k: Float[Tensor, "batch kv_heads n dim"],
    v: Float[Tensor, "batch kv_heads n dim"],
    scale: float,
    thetas: Float[Tensor, " heads"],
    block: int,
    step: int,
    sums: bool = False,
) -> tuple[Float[Tensor, "batch heads n dim"], Int[Tensor, "batch heads groups"]]:
    """Anchor attention (`attention_reference.anchor`), and how many columns each group keeps beside those that are always kept.

    Args:
        thetas: nats below the anchor, of each head.
        sums: the anchor is the log-sum-exp of a query's near logits, not the largest of them.
    """
    # an infinite theta would meet infinities of masked lanes in the kernel
    limits = (thetas.double().clamp(-1e6, 1e6) / math.log(2)).float().contiguous()
    return _stripes(q, k, v, scale, block * step, block, block, (block, limits.data_ptr(), int(sums), 0, 0))


def stripes(
    q: Float[Tensor, "batch heads n dim"],
    k: Float[Tensor, "batch kv_heads n dim"],
    v: Float[Tensor, "batch kv_heads n dim"],
    scale: float,
    columns: Bool[Tensor, "batch heads groups n"],
    group: int,
    init: int,
    local: int,
) -> Float[Tensor, "batch heads n dim"]:
    """Attention to columns chosen for each group, the first `init` keys, the `local` keys before a group, and its own.

    Raises KernelError for columns of another shape.
    """
    whole = (*q.shape[:2], -(-q.shape[2] // group), q.shape[2])
    if columns.shape != whole:
        raise KernelError(f"columns are {tuple(columns.shape)}; {q.shape[2]} queries in groups of {group} need {whole}.")
    place = torch.arange(q.shape[2])
    start = torch.arange(columns.shape[2]) * group - local
    columns = columns & (place >= init) & (place < start[:, None])  # what is always kept would count twice
    starts = torch.zeros(columns.shape[:3].numel() + 1, dtype=torch.int64)
    starts[1:] = columns.sum(-1).flatten().cumsum(0)
    lists = columns.nonzero()[:, -1].int().contiguous()
    return _stripes(q, k, v, scale, group, init, local, (group, 0, 0, starts.data_ptr(), lists.data_ptr()))[0]


def _stripes(q: Tensor, k: Tensor, v: Tensor, scale: float, group: int, init: int, local: int, rest: tuple[int, ...]) -> Any:
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    groups = -(-q.shape[2] // group)
    out, kept = room(q), torch.zeros(*q.shape[:2], groups, dtype=torch.int64)
    call = described(q, k, v, out, scale, True, group, init, local, *rest, kept.data_ptr())
    run(compiled("stripes", attention_path()), q.shape[0] * k.shape[1] * groups, call.ctypes.data)
    return out, kept


@cache
def compiled(name: str, path: Path) -> Any:
    """The kernel of a module of `cpu.attention`, as `run` takes it."""
    from importlib import import_module

    return import_module(f"fewer.kernels.cpu.attention.{name}").kernel(path)
