"""Exact softmax attention over a key set, by the fastest executor at hand."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fewer.attention.inputs import Inputs
from fewer.attention.keys import Chosen, Everything, KeySet
from fewer.kernels.attention_decode import decode

ALL = Everything()


def attend(inputs: Inputs, keys: KeySet = ALL) -> Float[Tensor, "batch heads queries dim"]:
    """Softmax over the keys that are kept; the others get no weight, and a query without any gets zeros."""
    if inputs.queries == 1 and isinstance(keys, Everything | Chosen) and not _learns(inputs):
        return decode(inputs.q, inputs.k, inputs.v, inputs.scale, keys.indices if isinstance(keys, Chosen) else None)
    return reference(inputs, keys)


def _learns(inputs: Inputs) -> bool:
    """Are gradients wanted, which kernels do not give?"""
    return torch.is_grad_enabled() and (inputs.q.requires_grad or inputs.k.requires_grad or inputs.v.requires_grad)


def reference(inputs: Inputs, keys: KeySet = ALL) -> Float[Tensor, "batch heads queries dim"]:
    """By torch's attention with a mask: right, and no faster than dense attention."""
    out = torch.empty_like(inputs.q)
    for start, stop, mask in keys.pieces(inputs):
        out[:, :, start:stop] = scaled_dot_product_attention(
            inputs.q[:, :, start:stop], inputs.k, inputs.v, attn_mask=mask, scale=inputs.scale, enable_gqa=inputs.share > 1
        ).nan_to_num()
    return out
