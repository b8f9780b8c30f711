"""Quality of decoding, measured on a text that is given: all tokens behind a prompt at once, with what each would see alone."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from fewer.attention.cache import Cache
from fewer.attention.settings import FIELD, configure
from fewer.errors import AttentionError

CHUNK = 256
"""Tokens in a forward pass: weights of attention over some thousand keys must fit."""


class TeacherForced:
    """A text whose first `prompt` tokens are read once, with dense attention; any settings are then measured on the others.

    Args:
        model: a transformers language model whose attention `configure` can switch. It is left as it was.
        tokens: no more than its positions.

    Raises:
        AttentionError: nothing to read or nothing to measure on.
    """

    def __init__(self, model: Any, tokens: Int[Tensor, "1 tokens"], prompt: int, chunk: int = CHUNK):
        if tokens.ndim != 2 or len(tokens) != 1 or not 1 <= prompt <= tokens.shape[1] - 2 or chunk < 1:
            raise AttentionError(
                f"tokens of shape {tuple(tokens.shape)}, a prompt of {prompt}, chunks of {chunk}: give [1, n] with a prompt "
                "of 1 to n - 2, and at least 1 token a chunk."
            )
        self._model = model
        self._tokens, self._prompt, self._chunk = tokens, prompt, chunk
        self._cache = Cache(model.config, tokens.shape[1])
        with _kept(model), torch.inference_mode():
            configure(model, "dense")
            self._model(tokens[:, :prompt], cache=self._cache, use_cache=True, logits_to_keep=1)

    def nll(self, method: str = "dense", **parameters: Any) -> Float[Tensor, " scored"]:
        """Nats of each token but the first behind the prompt, under a method of decoding that has `steps`, or "dense"."""
        steps: dict[str, Any] = {} if method == "dense" else {"steps": True}
        found = []
        with _kept(self._model), torch.inference_mode():
            configure(self._model, method, **parameters, **steps)
            behind = self._tokens[:, self._prompt :]
            for start in range(0, behind.shape[1] - 1, self._chunk):
                read = behind[:, start : min(start + self._chunk, behind.shape[1] - 1)]
                logits = self._model(read, cache=self._cache, use_cache=True).logits[0].float()
                found.append(cross_entropy(logits, behind[0, start + 1 : start + 1 + read.shape[1]], reduction="none"))
            self._cache.crop(self._prompt - self._cache.get_seq_length())
        return torch.cat(found)


class _kept:  # noqa: N801 - read as a statement
    """Settings of a model's attention, put back at the end."""

    def __init__(self, model: Any):
        self._model = model
        self._configs = {id(c): c for c in (model.config, model.config.get_text_config())}.values()

    def __enter__(self) -> None:
        self._before = self._model.config._attn_implementation
        self._said = [getattr(config, FIELD, None) for config in self._configs]

    def __exit__(self, *_: object) -> None:
        for config, said in zip(self._configs, self._said, strict=True):
            if said is None:
                vars(config).pop(FIELD, None)
            else:
                setattr(config, FIELD, said)
        self._model.set_attn_implementation(self._before)
