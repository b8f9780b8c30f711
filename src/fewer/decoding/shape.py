"""Which models' decoder layers are known, and the parts of one that a plan is made of."""

from typing import Any, NamedTuple

import torch
from torch import nn

from fewer.errors import ModelError

LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer")
"""Decoder layers with RMSNorm before attention and MLP, rotated positions, and gated neurons (SwiGLU)."""
_LANES = 16


class Layer(NamedTuple):
    """A decoder layer's modules."""

    attention: Any
    mlp: Any
    before: Any
    """The norm before attention, and the one before the MLP."""
    between: Any


class Shape(NamedTuple):
    """Of a model without its head."""

    layers: list[Layer]
    hidden: int
    heads: int
    kv_heads: int
    dim: int
    neurons: int


def shape_of(base: Any) -> Shape:
    """The parts of a decoder.

    Raises:
        ModelError: a model whose layers are not known, or that is not float32 on the CPU.
    """
    layers = list(getattr(base, "layers", ()))
    if not layers or any(type(layer).__name__ not in LAYERS for layer in layers):
        kinds = ", ".join(sorted({type(layer).__name__ for layer in layers})) or "none"
        raise ModelError(f"the decoder layers of {type(base).__name__} are {kinds}; known: {', '.join(LAYERS)}.")
    for name, tensor in base.named_parameters():
        if tensor.dtype is not torch.float32 or tensor.device.type != "cpu":
            raise ModelError(f"{name} is {tensor.dtype} on {tensor.device}; steps are made of float32 on the CPU.")
    config, first = base.config, layers[0]
    dim = first.self_attn.head_dim
    neurons = first.mlp.gate_proj.out_features
    found = Shape(
        [Layer(x.self_attn, x.mlp, x.input_layernorm, x.post_attention_layernorm) for x in layers],
        config.hidden_size,
        config.num_attention_heads,
        config.num_key_value_heads,
        dim,
        neurons,
    )
    if found.hidden % _LANES or dim % _LANES or neurons % _LANES:
        raise ModelError(f"hidden size {found.hidden}, head dimension {dim}, {neurons} neurons: each must divide by {_LANES}.")
    for layer in found.layers:
        if not isinstance(layer.mlp.act_fn, nn.SiLU) and type(layer.mlp.act_fn).__name__ != "SiLUActivation":
            raise ModelError(f"the MLP's activation is {type(layer.mlp.act_fn).__name__}; known: SiLU.")
    return found
