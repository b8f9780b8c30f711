"""Exact softmax attention over a key set, by the fastest executor at hand."""

import logging
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fewer.attention.inputs import Inputs
from fewer.attention.keys import Blocks, Chosen, Everything, KeySet, Stripes
from fewer.kernels import attention_prefill as prefill
from fewer.kernels.attention_blocks import blocks
from fewer.kernels.attention_decode import decode
from fewer.kernels.dispatch import gpu_path

log = logging.getLogger("fewer.attention")

ALL = Everything()


def attend(inputs: Inputs, keys: KeySet = ALL) -> Float[Tensor, "batch heads queries dim"]:
    """Softmax over the keys that are kept; the others get no weight, and a query without any gets zeros."""
    if inputs.q.is_cuda:
        found = _by_gpu(inputs, keys)
        return reference(inputs, keys) if found is None else found
    q, k, v, scale = inputs.q, inputs.k, inputs.v, inputs.scale
    if inputs.queries == 1 and isinstance(keys, Everything | Chosen) and not _learns(inputs):
        return decode(q, k, v, scale, keys.indices if isinstance(keys, Chosen) else None)
    if isinstance(keys, Everything):
        why = prefill.refusal(q, k, v)
        return _dense(inputs, why) if why else prefill.dense(q, k, v, scale, inputs.causal)
    if isinstance(keys, Stripes) and inputs.prefill and inputs.causal:
        if not (why := prefill.stripes_refusal(q, k, v, keys.group)):
            return prefill.stripes(q, k, v, scale, keys.columns, keys.group, keys.init, keys.local)
        _say("stripes", why)
    if isinstance(keys, Blocks) and not _learns(inputs):
        return blocks(q, k, v, keys.blocks, keys.size, inputs.causal, scale)
    return reference(inputs, keys)


def reference(inputs: Inputs, keys: KeySet = ALL) -> Float[Tensor, "batch heads queries dim"]:
    """By torch's attention with a mask: right, and no faster than dense attention."""
    out = torch.empty_like(inputs.q)
    for start, stop, mask in keys.pieces(inputs):
        found = scaled_dot_product_attention(
            inputs.q[:, :, start:stop], inputs.k, inputs.v, attn_mask=mask, scale=inputs.scale, enable_gqa=inputs.share > 1
        )
        out[:, :, start:stop] = found.where(mask.any(-1, keepdim=True), 0)  # torch may give NaN there
    return out


def _dense(inputs: Inputs, why: str) -> Tensor:
    """torch's own dense attention, where our kernels cannot run."""
    _say("dense attention", why)
    if inputs.causal and 1 < inputs.queries < inputs.keys:
        return reference(inputs)
    causal = inputs.causal and inputs.queries > 1
    grouped = inputs.share > 1
    return scaled_dot_product_attention(inputs.q, inputs.k, inputs.v, is_causal=causal, scale=inputs.scale, enable_gqa=grouped)


def _by_gpu(inputs: Inputs, keys: KeySet) -> Tensor | None:
    """By Triton or torch's dense kernels; None where only the reference is left."""
    from fewer.kernels.gpu.operands import refusal

    q, k, v, scale = inputs.q, inputs.k, inputs.v, inputs.scale
    if isinstance(keys, Everything):
        return None if inputs.causal and 1 < inputs.queries < inputs.keys else _dense(inputs, "the tensors are on cuda")
    why = refusal(q, k, v) if gpu_path() == "triton" else "there is no Triton"
    if why:
        _say(type(keys).__name__.lower(), why)
        return None
    if isinstance(keys, Chosen) and inputs.queries == 1:
        from fewer.kernels.gpu.decode import gathered

        return gathered(q[:, :, 0], k, v, keys.indices, scale)[:, :, None]
    if isinstance(keys, Stripes) and inputs.prefill and inputs.causal:
        from fewer.kernels.gpu.anchor import far, near

        return far(q, k, v, near(q, k, v, keys.group, keys.init, keys.local, scale), keys.columns, keys.group, scale)
    if isinstance(keys, Blocks) and (inputs.prefill or not inputs.causal):
        from fewer.kernels.block_lists import BlockLists
        from fewer.kernels.gpu.block_attention import blocks as gpu_blocks

        return gpu_blocks(q, k, v, BlockLists.of(keys.blocks, keys.size, inputs.causal), inputs.causal, scale)
    return None


def _learns(inputs: Inputs) -> bool:
    """Are gradients wanted, which kernels do not give?"""
    return torch.is_grad_enabled() and (inputs.q.requires_grad or inputs.k.requires_grad or inputs.v.requires_grad)


@cache
def _say(what: str, why: str) -> None:
    log.info("%s by torch, not by our kernels: %s", what, why)
