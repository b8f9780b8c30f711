"""Greedy decoding, token by token: what an accelerated language model is timed and checked by."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn


class Decoding:
    """So many tokens a call, each from the last, after a prompt that is read once."""

    def __init__(self, model: nn.Module, prompt: Int[Tensor, "1 tokens"], tokens: int):
        from transformers import DynamicCache

        self._step, self._tokens = _stepper(model), tokens
        self._cache = DynamicCache()
        with torch.inference_mode():
            self._token = self._step(prompt, self._cache)

    def __call__(self) -> None:
        with torch.inference_mode():
            for _ in range(self._tokens):
                self._token = self._step(self._token, self._cache)


@torch.inference_mode()
def greedy(model: Any, prompt: Int[Tensor, "1 tokens"], tokens: int) -> list[int]:
    """The first tokens after the prompt."""
    from transformers import DynamicCache

    step, cache = _stepper(model), DynamicCache()
    said = [step(prompt, cache)]
    while len(said) < tokens:
        said.append(step(said[-1], cache))
    return [int(token) for token in said]


def agreement(said: Sequence[int], reference: Sequence[int]) -> float:
    """Share of the tokens that are the same, place by place."""
    return sum(a == b for a, b in zip(said, reference, strict=True)) / len(reference)


def _stepper(model: Any) -> Callable[[Tensor, Any], Tensor]:
    """tokens, cache -> the next token."""
    word = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    return lambda tokens, cache: model(tokens, use_cache=True, **{word: cache}).logits[:, -1:].argmax(-1)
