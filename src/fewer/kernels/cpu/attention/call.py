"""Where a call's tensors lie: one block of 64-bit integers that every attention kernel reads."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

FIELDS = (
    "q", "q_batch", "q_head", "q_step",
    "k", "k_batch", "k_head", "k_step",
    "v", "v_batch", "v_head", "v_step",
    "out", "out_batch", "out_head", "out_step",
    "heads", "kv_heads", "queries", "keys", "dim", "scale", "causal",
)  # fmt: skip
(
    Q, Q_BATCH, Q_HEAD, Q_STEP,
    K, K_BATCH, K_HEAD, K_STEP,
    V, V_BATCH, V_HEAD, V_STEP,
    OUT, OUT_BATCH, OUT_HEAD, OUT_STEP,
    HEADS, KV_HEADS, N_QUERIES, N_KEYS, DIM, SCALE, CAUSAL,
) = range(0, 8 * len(FIELDS), 8)  # fmt: skip
"""Offsets in bytes: where a tensor begins, then the bytes from one sequence, head and token to the next; numbers; the scale, a
float32 in the low half; are the queries the last keys, each seeing those up to its own?"""
OPERANDS = 8 * len(FIELDS)
"""Offset of what else a kernel wants."""


def described(
    q: Float[Tensor, "batch heads queries dim"],
    k: Float[Tensor, "batch kv_heads keys dim"],
    v: Float[Tensor, "batch kv_heads keys dim"],
    out: Float[Tensor, "batch heads queries dim"],
    scale: float,
    causal: bool,
    *operands: int,
) -> np.ndarray:
    """The block of a call. The last axis of every tensor must be without gaps. Logits are in units of log 2."""
    numbers: list[int] = []
    for tensor in (q, k, v, out):
        size = tensor.element_size()
        numbers += [tensor.data_ptr(), *(size * step for step in tensor.stride()[:3])]
    bits = int(np.float32(scale / math.log(2)).view(np.uint32))
    numbers += [q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], bits, int(causal), *operands]
    return np.array(numbers, np.int64)


def room(q: Float[Tensor, "batch heads queries dim"]) -> Float[Tensor, "batch heads queries dim"]:
    """Room for the results, laid out as transformers wants them: a view of [batch, queries, heads, dim]."""
    return torch.empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3], dtype=q.dtype).transpose(1, 2)
