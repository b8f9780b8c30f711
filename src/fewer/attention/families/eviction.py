"""Taking out of a transformers cache what SnapKV or Ada-SnapKV does not keep."""

from typing import Any, NamedTuple

from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from fewer.attention.families.marks import Marks
from fewer.attention.families.snapkv import Kept, SnapKV
from fewer.attention.memory import Memory
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
        return self.evicted + self.get_mask_sizes(0)[0]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys that attention will be given, and how many were before them."""
        return super().get_seq_length() + query_length, self.evicted


def evict(model: nn.Module, cache: Cache) -> Evicted:
    """Drop for good, in place, what the last prompt's layers do not keep; call it after the prompt, before the first new token.

    Keys were rotated at their true positions and stay so; later tokens are placed as if nothing was gone. After SnapKV any
    attention may go on. Ada-SnapKV leaves more keys in some heads: the others are filled up with keys that only
    "fewer_ada_snapkv" knows not to read, so the model must stay under it.

    Raises:
        AttentionError: layers that are not under SnapKV or Ada-SnapKV, a cache that is not of their last prompt, or padding.
    """
    held: list[Any] = cache.layers
    found = [_of_layer(module, held) for module in model.modules() if getattr(module, "layer_idx", None) is not None]
    width = max(int(kept.keys.sum(2).max()) for _, kept, _ in found)
    before = sum(map(_bytes, held))
    for index, kept, memory in found:
        old = held[index]
        # Ascending places, those of dropped keys first: they fill up heads that keep fewer than others.
        order = kept.keys.int().sort(dim=-1, stable=True).indices[..., -width:]
        slots = order[..., None].expand(-1, -1, -1, old.keys.shape[-1])
        keys, values = (tensor.gather(2, slots).contiguous() for tensor in (old.keys, old.values))
        held[index] = EvictedLayer(keys, values, old.keys.shape[2])
        memory["snapkv", index] = Kept(kept.keys.gather(2, order), Marks(keys))
    return Evicted(before, sum(map(_bytes, held)))


def _of_layer(module: Any, held: list[Any]) -> tuple[int, Kept, Memory]:
    index: int = module.layer_idx
    name = str(module.config._attn_implementation)
    method, memory = in_force(name, module) if name.startswith("fewer_") else (None, Memory())
    kept: Kept | None = memory.get(("snapkv", index))
    if not isinstance(method, SnapKV) or kept is None:
        raise AttentionError(
            f"layer {index} has read no prompt under SnapKV or Ada-SnapKV (its attention: {name}). Call "
            'fewer.attention.configure(model, "snapkv") and read the whole prompt, without padding, first.'
        )
    keys = getattr(held[index], "keys", None) if index < len(held) else None
    if keys is None or keys.shape[2] != kept.keys.shape[2] or not kept.marks.match(keys):
        raise AttentionError(
            f"the cache's layer {index} holds {0 if keys is None else keys.shape[2]} keys that are not the last prompt of "
            f"{kept.keys.shape[2]} tokens, unchanged. Evict right after reading the prompt, before the first new token."
        )
    return index, kept, memory


def _bytes(layer: Any) -> int:
    return layer.keys.nbytes + layer.values.nbytes
