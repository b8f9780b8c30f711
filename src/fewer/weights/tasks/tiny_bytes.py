"""A language model of bytes, trained where it is needed: for machines that have Python and no model to load.

Trained once for a text set and kept in the cache folder, under a name that stands for the network, its training and the
text. On held-out `python-topics` it takes 2.12 bits a byte, where byte pairs counted in the same text take 3.74.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from fewer.core import stream
from fewer.data import text
from fewer.data.trained.byte_tokens import encode, plain_batch
from fewer.data.trained.descent import descend, factor
from fewer.data.trained.keep import kept

VERSION = 1
"""Raise this when a change of code trains other weights: those in caches are left alone then."""

NETWORK: dict[str, Any] = {
    "vocab_size": 256,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "bos_token_id": None,
    "eos_token_id": None,
}
"""A transformers LlamaConfig: 672,000 weights, 639,000 of them in layers that can be pruned."""


@dataclass(frozen=True)
class Recipe:
    """AdamW; the rate rises in a line, then falls along a half cosine to zero."""

    steps: int = 1000
    batch: int = 4
    """Windows of one context a step."""
    rate: float = 3e-3
    warm_up: int = 50
    """Steps in which the rate rises."""
    weight_decay: float = 0.1
    seed: int = 0

    def factor(self, step: int) -> float:
        """Share of the highest rate at `step`, from 0."""
        return factor(step, self.steps, self.warm_up)


def trained(text_set: str, recipe: Recipe = Recipe()) -> nn.Module:
    """The model of the calibration part of a text set, in evaluation mode; trained now unless the cache holds it.

    Training takes about a minute, on one thread, and says so on the `fewer.data` logger. The same kind of processor gives
    the same weights. The global random state stays as it was.

    Raises:
        DataError: no such text set, or it cannot be had.
        ModelError: the cache folder cannot be written.
    """
    tokens = encode(text.load(text_set, "calibration"))
    return kept(
        f"tiny-bytes-{text_set}",
        [VERSION, NETWORK, asdict(recipe)],
        tokens,
        build=lambda: _network(recipe.seed),
        train=lambda model: train(model, tokens, recipe),
    )


def train(model: nn.Module, tokens: Int[Tensor, " bytes"], recipe: Recipe) -> None:
    """Train in place on windows drawn from all over `tokens`."""
    length, windows = NETWORK["max_position_embeddings"], stream(recipe.seed, "windows")

    def loss() -> Tensor:
        batch = plain_batch(tokens, recipe.batch, length, windows)
        return model(input_ids=batch, labels=batch, use_cache=False).loss

    descend(model, loss, steps=recipe.steps, rate=recipe.rate, warm_up=recipe.warm_up, weight_decay=recipe.weight_decay)


def _network(seed: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**NETWORK))
