"""A prompt that was read once, by dense attention, for all methods of decoding."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import DynamicCache

from fewer.attention.dense import DenseAttention
from fewer.attention.families.snapkv import SnapKV
from fewer.attention.frontier.studied import Counted, studied
from fewer.attention.inputs import Inputs

TAIL = 512
"""Last queries of a prompt that are kept: SnapKV asks them which keys matter."""


class LayerOfPrompt(NamedTuple):
    """What decoding needs of one layer."""

    tail: Float[Tensor, "batch heads tail dim"]
    keys: Float[Tensor, "batch kv_heads keys dim"]
    values: Float[Tensor, "batch kv_heads keys dim"]
    scale: float
    layer: int

    def inputs(self) -> Inputs:
        return Inputs(self.tail, self.keys, self.values, self.scale, True, self.layer)


@dataclass(frozen=True, eq=False)
class Prompt:
    """A batch of prompts of one length."""

    layers: tuple[LayerOfPrompt, ...]
    attention_flops: float

    def cache(self) -> DynamicCache:
        """A cache of it to go on from; the prompt stays as it is."""
        cache = DynamicCache()
        for layer in self.layers:
            cache.update(layer.keys, layer.values, layer.layer)
        return cache

    def begin(self, counted: Counted) -> None:
        """Let the method take from the prompt what it takes."""
        counted.attention_flops += self.attention_flops
        if isinstance(counted.method, SnapKV):
            for layer in self.layers:
                counted.method.begin(layer.inputs(), counted.memory)
                counted.scoring_flops += counted.method.prompt_flops(layer.inputs()) if counted.method.kind == "method" else 0


@torch.inference_mode()
def read(model: nn.Module, tokens: Tensor) -> Prompt:
    """[batch, tokens], read by dense attention."""
    counted = Counted(DenseAttention(), "prefill", seen=[])
    with studied(model, counted):
        forward(model, tokens, DynamicCache(), 1)
    assert counted.seen is not None
    layers = (LayerOfPrompt(i.q[:, :, -TAIL:].clone(), i.k, i.v, i.scale, i.layer) for i in counted.seen)
    return Prompt(tuple(layers), counted.attention_flops)


def forward(model: nn.Module, tokens: Tensor, cache: DynamicCache, rows: int) -> Float[Tensor, "batch rows vocabulary"]:
    """Logits of the last `rows` tokens; the cache grows."""
    import inspect

    word = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    settings: dict[str, Any] = {word: cache, "use_cache": True, "logits_to_keep": rows}
    return model(input_ids=tokens, **settings).logits
