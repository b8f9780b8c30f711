"""A cache that is allocated ahead: a new token is written into it, where transformers' own copies all that is cached."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Cache as AnyCache
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from fewer.errors import AttentionError
from fewer.kernels.huge_pages import empty

LEAST = 256
"""Tokens that a layer has room for at first, at least."""


class BufferLayer(DynamicLayer):
    """The cache of one layer. `keys` and `values` are the written part of the buffers, as views."""

    def __init__(self, capacity: int, limit: int | None):
        super().__init__()
        self.capacity, self.limit = capacity, limit
        self._buffers: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Room for tokens like these; what was allocated before is used again where it fits."""
        self.device, self.dtype = key_states.device, key_states.dtype
        if self._buffers is None or not _alike(self._buffers, (key_states, value_states)):
            self._buffers = _rooms((key_states, value_states), max(self.capacity, LEAST))
        self._written(0)
        self.is_initialized = True

    def update(
        self,
        key_states: Float[Tensor, "batch kv_heads new dim"],
        value_states: Float[Tensor, "batch kv_heads new dim"],
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Float[Tensor, "batch kv_heads keys dim"], Float[Tensor, "batch kv_heads keys dim"]]:
        """Write new tokens behind the others; returns all of them.

        Raises AttentionError for more tokens than the model has positions, for tokens of another shape or type than those
        that are cached, and for such as gradients are wanted of.
        """
        if key_states.requires_grad and torch.is_grad_enabled():
            raise AttentionError("a buffer that is written over holds no gradients; use torch.no_grad(), or no cache.")
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self._buffers is not None
        before = self.get_seq_length()
        if not _alike(self._buffers, (key_states, value_states)):
            if before:
                raise AttentionError(
                    f"the cache holds keys {tuple(self._buffers[0].shape[:2])} of {self._buffers[0].dtype}, and gets "
                    f"{tuple(key_states.shape[:2])} of {key_states.dtype}: reset() it before other prompts."
                )
            self.lazy_initialization(key_states, value_states)
        self.extend(key_states.shape[2])
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, before : before + key_states.shape[2]] = new
        return self.keys, self.values  # type: ignore[return-value]

    def extend(self, tokens: int) -> None:
        """Count so many more tokens, which the caller writes to the end of `keys` and `values`; there must be some already.

        Raises AttentionError for more than the model has positions.
        """
        after = self.get_seq_length() + tokens
        if self.limit is not None and after > self.limit:
            raise AttentionError(
                f"{after} tokens in a cache of a model with {self.limit} positions: shorten the prompt, crop() the cache, or "
                "say Cache(config, limit=None) if the model is known to reach further."
            )
        assert self._buffers is not None
        if after > self._buffers[0].shape[2]:
            self._grow(after)
        self._written(after)

    def reset(self) -> None:
        """Forget all tokens and keep the room."""
        if self.is_initialized:
            self._written(0)

    def reorder_cache(self, beam_idx: Int[Tensor, " batch"]) -> None:
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the sequences of these numbers, in this order."""
        if self.keys is not None and self.values is not None and self.get_seq_length():
            self._replace(*(x[indices.to(x.device)] for x in (self.keys, self.values)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each sequence `repeats` times."""
        if self.keys is not None and self.values is not None and self.get_seq_length():
            self._replace(*(x.repeat_interleave(repeats, 0) for x in (self.keys, self.values)))

    def offload(self) -> None:
        """Raises AttentionError: buffers stay where they are."""
        raise AttentionError('this cache stays on its device; use cache_implementation="offloaded" to move one between layers.')

    def _written(self, tokens: int) -> None:
        assert self._buffers is not None
        self.keys, self.values = (buffer[:, :, :tokens] for buffer in self._buffers)

    def _grow(self, needed: int) -> None:
        assert self._buffers is not None and self.keys is not None and self.values is not None
        room = max(needed, 2 * self._buffers[0].shape[2])
        self._buffers = _rooms(self._buffers, room if self.limit is None else max(needed, min(room, self.limit)))
        self._replace(self.keys, self.values)

    def _replace(self, keys: Tensor, values: Tensor) -> None:
        """Hold these tokens in place of those that are held."""
        assert self._buffers is not None
        if not _alike(self._buffers, (keys, values)):
            self._buffers = _rooms((keys, values), self._buffers[0].shape[2])
        tokens = keys.shape[2]
        for buffer, kept in zip(self._buffers, (keys, values), strict=True):
            buffer[:, :, :tokens] = kept
        self._written(tokens)


class Cache(AnyCache):
    """`model.generate(..., past_key_values=fewer.attention.Cache(model.config, capacity=4096))`, or `model(..., cache=...)`.

    Room for `capacity` tokens is allocated with the first of them, and doubled when it is full. Layers with full attention
    have buffers; others (sliding windows, linear attention) what transformers has for them.

    Args:
        config: of the model.
        capacity: tokens of each sequence to have room for at first.
        limit: tokens that are an error to exceed; by default the model's positions, None for none.

    Raises:
        AttentionError: a capacity below 0 or beyond the limit; later on as `BufferLayer.update` does.
    """

    def __init__(self, config: Any, capacity: int = 0, limit: int | str | None = "positions"):
        positions = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
        most: Any = positions if limit == "positions" else limit
        if capacity < 0 or (most is not None and capacity > most):
            raise AttentionError(f"capacity is {capacity}; allowed: 0 to {most}, the model's positions or the limit= given.")
        ours = [
            BufferLayer(capacity, most) if type(layer) is DynamicLayer else layer
            for layer in DynamicCache(config=config).layers
        ]
        super().__init__(layers=ours)


def adopt(cache: AnyCache) -> None:
    """Give layers that hold all tokens, as `DynamicCache` has them, buffers in place of their tensors."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[number] = made = BufferLayer(0, None)
            if layer.is_initialized and layer.keys is not None and layer.values is not None:
                made.update(layer.keys, layer.values)


def _alike(buffers: tuple[Tensor, Tensor], states: tuple[Tensor, Tensor]) -> bool:
    return all(
        b.shape[:2] == s.shape[:2] and b.shape[3] == s.shape[3] and b.dtype == s.dtype and b.device == s.device
        for b, s in zip(buffers, states, strict=True)
    )


def _rooms(like: tuple[Tensor, Tensor], tokens: int) -> tuple[Tensor, Tensor]:
    """Room for keys and for values, in one block: what a token has in all KV heads lies side by side, as it is read."""
    keys, values = like
    width = keys.shape[3]
    shape = (keys.shape[0], tokens, keys.shape[1], width + values.shape[3])
    if keys.device.type == "cpu":
        block = empty(shape, keys.dtype)
    else:
        # a normal tensor, so that what inference_mode() began can go on outside of it
        with torch.inference_mode(False):
            block = torch.empty(shape, dtype=keys.dtype, device=keys.device)
    block = block.transpose(1, 2)
    return block[..., :width], block[..., width:]
