"""One call that fits sparse attention to a loss budget, on one text, and reports what it costs on another."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

from fewer.attention.fit_decode import FittedTidal, fit_tidal
from fewer.attention.fit_prefill import FittedAnchor, fit_anchor
from fewer.errors import AttentionError

Text = str | Int[Tensor, "windows length"]


def fit(
    model: nn.Module,
    text: Text,
    loss_budget: float = 0.02,
    *,
    held_out: Text | None = None,
    method: Literal["anchor", "tidal"] = "anchor",
    tokenizer: Callable | None = None,
    length: int = 8192,
    windows: int = 1,
    progress: Callable[[str], None] | None = None,
    **parameters: Any,
) -> FittedAnchor | FittedTidal:
    """Choose layers, thresholds and numbers of keys so that perplexity rises by at most `loss_budget`; the model is switched.

    Anchor attention (prompts): a theta for every head, by `fit_anchor`. TidalDecode (decoding): how many keys and which layers
    choose them, by `fit_tidal`. Nothing is chosen by `held_out`, on which the outcome is reported.

    Args:
        text: words, or tokens [windows, length]; one window for decoding.
        loss_budget: relative increase of the perplexity, 0.02 for 2%.
        tokenizer: a Hugging Face tokenizer, where words are given.
        length: tokens a window, where words are given; no more than the model's positions.
        windows: how many, spread over the words.
        parameters: of `fit_anchor` or `fit_tidal`.

    Raises:
        AttentionError: an unknown method, words without a tokenizer, or fewer words than the windows need.
    """
    if method not in ("anchor", "tidal"):
        raise AttentionError(f'attention is fitted for "anchor" or "tidal", not {method!r}.')
    count = 1 if method == "tidal" else windows
    tokens = _tokens(text, tokenizer, length, count)
    other = None if held_out is None else _tokens(held_out, tokenizer, length, count)
    call: Callable = fit_anchor if method == "anchor" else fit_tidal
    return call(model, tokens, other, loss_budget, progress=progress, **parameters)


def _tokens(text: Text, tokenizer: Callable | None, length: int, windows: int) -> Int[Tensor, "windows length"]:
    if isinstance(text, Tensor):
        return text
    if tokenizer is None:
        raise AttentionError("words are given: give their tokenizer too, tokenizer=, or tokens of shape [windows, length].")
    ids = tokenizer(text, return_tensors="pt").input_ids[0]
    if len(ids) < windows * length:
        raise AttentionError(
            f"the text has {len(ids)} tokens; {windows} windows of {length} need {windows * length}. Lower length= or windows=."
        )
    starts = torch.linspace(0, len(ids) - length, windows + 2)[1:-1].long() if windows > 1 else torch.tensor([0])
    return torch.stack([ids[start : start + length] for start in starts.tolist()])
