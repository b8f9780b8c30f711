"""What transformers calls: one attention function for each name, and one mask function for all of them.

Importing this registers the names ("fewer_dense", "fewer_anchor", ...), so that they work in `from_pretrained(...,
attn_implementation=...)` and `set_attn_implementation`. A mask arrives here in one of three forms: None (no padding), the real
keys of each sequence, or every cell, where a mask is more than causal or bidirectional, or where queries are of another text
than keys (encoder and decoder).
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import bidirectional_mask_function, causal_mask_function, sdpa_mask

from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.attention.settings import NAMES, in_force
from fewer.attention.watch import WATCHER, Watcher
from fewer.errors import AttentionError

log = logging.getLogger("fewer.attention")

_UNKNOWN = {"softcap": "capped logits", "s_aux": "attention sinks as parameters", "position_bias": "position biases"}


def mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable = causal_mask_function,
    attention_mask: Tensor | None = None,
    **others: Any,
) -> Bool[Tensor, "batch keys"] | Bool[Tensor, "batch 1 queries keys"] | None:
    """None, the real keys of each sequence, or all cells: see the module. Called as transformers' own mask functions."""
    config, window = others.get("config"), others.get("local_size")
    across = getattr(config, "is_encoder_decoder", False) or getattr(config, "add_cross_attention", False)
    two_texts = mask_function is bidirectional_mask_function and (across or q_length != kv_length)
    may_skip = others.get("allow_is_causal_skip") or others.get("allow_is_bidirectional_skip")  # nothing else is in the mask
    uncut = window is not None and kv_offset + kv_length <= window and may_skip
    if two_texts or not (uncut or mask_function in (causal_mask_function, bidirectional_mask_function)):
        # transformers' own function leaves a mask out where its attention would know what is meant
        others |= {"attention_mask": attention_mask, "allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
        return sdpa_mask(batch_size, q_length, kv_length, q_offset, kv_offset, mask_function, **others)  # type: ignore[arg-type]
    written = int(q_offset) + q_length - kv_offset  # a static cache is longer than what was written into it
    real = None
    if attention_mask is not None:
        real = attention_mask[:, kv_offset : kv_offset + min(written, kv_length)].bool()
        if real.shape[1] < min(written, kv_length):
            raise AttentionError(f"the mask covers {real.shape[1]} tokens of {written}: give it for cached tokens too.")
    if written < kv_length:
        return real if real is not None else torch.ones(batch_size, written, dtype=torch.bool)
    return None if real is None or bool(real.all()) else real


def attention(
    name: str,
    module: nn.Module,
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys dim"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "batch queries heads dim"], None]:
    """One layer's attention by the method that is in force for it; arguments after `name` are transformers' own.

    Raises:
        AttentionError: for a mask that is not understood, dropout, and logits that the model wants changed.
    """
    if dropout:
        raise AttentionError(f"{name} has no dropout of attention weights; given: {dropout}. Set attention_dropout to 0.")
    for what, said in _UNKNOWN.items():
        if others.get(what) is not None:
            raise AttentionError(f'{name} does not know {said} ("{what}"), which this model has. Use "sdpa" or "eager".')
    method, memory = in_force(name, module)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = getattr(module, "layer_idx", None) or 0
    if attention_mask is not None and attention_mask.ndim == 4:
        return _by_torch(name, method, module, query, key, value, attention_mask, scaling, others)
    if attention_mask is not None and attention_mask.ndim != 2:
        raise AttentionError(f"{name} reads masks of two or four axes, not of shape {tuple(attention_mask.shape)}.")
    if attention_mask is None:
        out = _attended(method, Inputs(query, key, value, scale, causal, layer), memory, memory.get(WATCHER))
    else:
        keys = attention_mask.shape[1]  # shorter than a static cache, which is written so far
        out = _unpadded(method, memory, query, key[:, :, :keys], value[:, :, :keys], attention_mask, (scale, causal, layer))
    return out.transpose(1, 2).contiguous(), None


def _attended(method: SparseAttention, inputs: Inputs, memory: Memory, watcher: Watcher | None) -> Tensor:
    out = method.attend(inputs, memory)
    if watcher is not None:
        watcher(inputs, out)
    return out


def _unpadded(
    method: SparseAttention, memory: Memory, query: Tensor, key: Tensor, value: Tensor, real: Tensor, rest: tuple
) -> Tensor:
    """Each sequence by itself, without its padding: what it would give alone. Rows of padding are zeros."""
    out = torch.zeros_like(query)
    queries, keys = query.shape[2], key.shape[2]
    for row, (first, end) in enumerate(_borders(real)):
        start, stop = max(0, first - (keys - queries)), end - (keys - queries)
        if stop > start:
            one = Inputs(
                query[row : row + 1, :, start:stop], key[row : row + 1, :, first:end], value[row : row + 1, :, first:end], *rest
            )
            out[row : row + 1, :, start:stop] = _attended(method, one, memory.of_row(row), memory.get(WATCHER))
    return out


def _borders(real: Bool[Tensor, "batch keys"]) -> list[tuple[int, int]]:
    """First real key and one past the last, of each sequence. Raises AttentionError for padding between real keys."""
    counts = real.sum(1)
    first = real.int().argmax(1)
    end = torch.where(counts > 0, real.shape[1] - real.flip(1).int().argmax(1), 0)
    if bool((counts != end - first).any()):
        raise AttentionError("the mask has padding between real tokens. Pad on the left to generate, or on one side only.")
    return list(zip(first.tolist(), end.tolist(), strict=True))


def _by_torch(
    name: str,
    method: SparseAttention,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cells: Tensor,
    scaling: float | None,
    others: dict[str, Any],
) -> tuple[Tensor, None]:
    """A mask of cells: right for sliding windows and for dense attention, and refused where keys were to be chosen."""
    window = others.get("sliding_window") or getattr(module, "sliding_window", None)
    if method.kind != "dense" and not window:
        raise AttentionError(
            f"{name} chooses keys of causal or bidirectional attention; this mask, of shape {tuple(cells.shape)}, is neither "
            '(packed sequences, a custom mask, a decoder that reads an encoder?). Use "fewer_dense" or "sdpa", or give a '
            "padding mask of shape [batch, tokens]."
        )
    _say_once(name, "sliding window" if window else "custom mask")
    return sdpa_attention_forward(module, query, key, value, cells, scaling=scaling, **others)


@cache
def _say_once(name: str, what: str) -> None:
    log.info("%s: layers with a %s have torch's dense attention under their mask", name, what)


def _named(name: str) -> Callable:
    def function(*arguments: Any, **keywords: Any) -> tuple[Tensor, None]:
        return attention(name, *arguments, **keywords)

    return function


def register() -> None:
    """Make the names known to transformers."""
    for name in NAMES:
        AttentionInterface.register(f"fewer_{name}", _named(f"fewer_{name}"))
        AttentionMaskInterface.register(f"fewer_{name}", mask)


register()
