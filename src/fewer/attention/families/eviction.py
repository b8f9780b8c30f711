"""Taking out of a transformers cache what SnapKV or Ada-SnapKV does not keep."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from fewer.attention.families.marks import Marks
from fewer.attention.families.snapkv import Kept, SnapKV
from fewer.attention.settings import in_force
from fewer.errors import AttentionError


class Evicted(NamedTuple):
    """Bytes of keys and values."""

    before: int
    after: int


class EvictedLayer(DynamicLayer):
    """A layer of a cache that has seen more tokens than it holds. New tokens stand at their true positions."""

    def __init__(self, keys: Tensor, values: Tensor, seen: int) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self.evicted = seen - keys.shape[-2]

    def get_seq_length(self) -> int:
        """Tokens seen: transformers takes the next position from it."""
        return self.evicted + self.keys.shape[-2]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys that attention will be given, and how many were before them."""
        return self.keys.shape[-2] + query_length, self.evicted


def evict(model: nn.Module, cache: Cache) -> Evicted:
    """Drop for good, in place, what the last prompt's layers do not keep; call it after the prompt, before the first new token.

    Keys were rotated at their true positions and stay so; later tokens are placed as if nothing was gone. After SnapKV any
    attention may go on. Ada-SnapKV leaves more keys in some heads: the others are filled up with keys that only
    "fewer_ada_snapkv" knows not to read, so the model must stay under it.

    Raises:
        AttentionError: layers that are not under SnapKV or Ada-SnapKV, a cache that is not of their last prompt, or padding.
    """
    layers = [_of_layer(module, cache) for module in model.modules() if getattr(module, "layer_idx", None) is not None]
    width = max(int(kept.keys.sum(2).max()) for _, kept, _ in layers)
    before = sum(_bytes(layer) for layer in cache.layers)
    for index, kept, memory in layers:
        old = cache.layers[index]
        assert isinstance(old.keys, Tensor) and isinstance(old.values, Tensor)
        # Ascending places, those of dropped keys first: they fill up heads that keep fewer than others.
        order = kept.keys.int().sort(dim=-1, stable=True).indices[..., -width:]
        slots = order[..., None].expand(-1, -1, -1, old.keys.shape[-1])
        keys, values = (tensor.gather(2, slots).contiguous() for tensor in (old.keys, old.values))
        cache.layers[index] = EvictedLayer(keys, values, old.keys.shape[2])
        memory["snapkv", index] = Kept(kept.keys.gather(2, order), Marks(keys))
    return Evicted(before, sum(_bytes(layer) for layer in cache.layers))


def _of_layer(module: nn.Module, cache: Cache) -> tuple[int, Kept, Any]:
    index, config = module.layer_idx, module.config
    name = config._attn_implementation  # type: ignore[union-attr]
    method, memory = in_force(name, module) if str(name).startswith("fewer_") else (None, None)
    kept = memory.get(("snapkv", index)) if memory is not None else None
    if not isinstance(method, SnapKV) or kept is None or not torch.is_tensor(cache.layers[index].keys):  # type: ignore[index]
        raise AttentionError(
            f"layer {index} has read no prompt under SnapKV or Ada-SnapKV (its attention: {name}). Call "
            'fewer.attention.configure(model, "snapkv") and read the whole prompt, without padding, first.'
        )
    keys = cache.layers[index].keys  # type: ignore[index]
    if keys.shape[2] != kept.keys.shape[2] or not kept.marks.match(keys):
        raise AttentionError(
            f"the cache's layer {index} holds {keys.shape[2]} keys that are not the last prompt of {kept.keys.shape[2]} "
            "tokens, unchanged. Evict right after reading the prompt, before the first new token."
        )
    return index, kept, memory  # type: ignore[return-value]


def _bytes(layer: Any) -> int:
    return layer.keys.nbytes + layer.values.nbytes
