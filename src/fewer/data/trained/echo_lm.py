"""A language model of bytes that has learnt to look back: half of what it reads is a random piece, then that piece again.

To predict the second copy a layer must find the first one: what sparse attention has to keep, and easy to see when it does
not. Trained once and kept in the cache folder. A transformers Llama, so that what is built for those runs on it.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.core import stream
from fewer.data import text
from fewer.data.obtain import known, on_this_machine
from fewer.data.places import Places
from fewer.data.trained.byte_tokens import encode, plain_batch
from fewer.data.trained.descent import descend
from fewer.data.trained.keep import kept
from fewer.errors import ModelError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

VERSION = 1
"""Raise this when a change of code trains other weights: those in caches are left alone then."""

MASK = 256
"""The token in place of one that a bidirectional model is to tell; causal models do not have it."""

WARM_UP = 20
"""Steps in which the rate rises."""


@dataclass(frozen=True)
class EchoRecipe:
    """The network, and its training: AdamW, the rate along a half cosine to zero."""

    layers: int = 2
    hidden: int = 64
    heads: int = 4
    kv_heads: int | None = None
    """By default as many as heads."""
    intermediate: int = 128
    length: int = 256
    """Bytes a sequence."""
    steps: int = 1000
    batch: int = 16
    """Sequences a step."""
    plain: float = 0.5
    """Share of sequences that are running text; the others are echo. Trained on echo alone, a model copies always."""
    rate: float = 3e-3
    seed: int = 0
    activation: str = "silu"
    """A name that transformers knows."""
    causal: bool = True
    """False: every position sees all others, and masked bytes are told: the network of a diffusion language model."""

    def __post_init__(self) -> None:
        groups = self.kv_heads or self.heads
        if self.hidden % self.heads or self.hidden // self.heads % 2 or self.heads % groups:
            raise ModelError(
                f"hidden {self.hidden}, heads {self.heads}, kv_heads {groups}: heads must divide hidden into even widths, "
                "and kv_heads must divide heads."
            )
        if self.length < 4 or self.length % 2 or not 0 <= self.plain <= 1 or self.batch < 1 or self.steps <= WARM_UP:
            raise ModelError(
                f"length {self.length}, plain {self.plain}, batch {self.batch}, steps {self.steps}: give an even length of at "
                f"least 4, a share from 0 to 1, at least 1 sequence, and more than {WARM_UP} steps."
            )


def default_text_set() -> str:
    """`tinyshakespeare` when it is on this machine, else the embedded `python-topics`."""
    here = on_this_machine(known("tinyshakespeare"), Places.find(), [])
    return "tinyshakespeare" if here else text.EMBEDDED


def echo_lm(recipe: EchoRecipe = EchoRecipe(), text_set: str | None = None) -> "LlamaForCausalLM":
    """The model of the calibration part of a text set, in evaluation mode; trained now unless the cache holds it.

    RoPE, RMSNorm, gated MLPs, bytes as vocabulary (with `causal=False` one more, MASK). The same kind of processor gives the
    same weights. The global random state stays as it was.

    Args:
        text_set: `default_text_set()` when not given.

    Raises:
        DataError: no such text set, or it cannot be had.
        ModelError: the cache folder cannot be written.
    """
    name = text_set or default_text_set()
    tokens = encode(text.load(name, "calibration"))
    model = kept(
        f"echo-{name}",
        [VERSION, asdict(recipe)],
        tokens,
        build=lambda: network(recipe),
        train=lambda model: train(model, tokens, recipe),
    )
    return cast("LlamaForCausalLM", model)


def network(recipe: EchoRecipe) -> "LlamaForCausalLM":
    """The network before training. Seeds torch's global random state."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=256 + (not recipe.causal),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads or recipe.heads,
        max_position_embeddings=recipe.length,
        hidden_act=recipe.activation,
        bos_token_id=None,
        eos_token_id=None,
    )
    config.is_causal = recipe.causal
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:
        layer.self_attn.is_causal = recipe.causal  # where no mask is given, attention reads this
    return model


def train(model: nn.Module, tokens: Int[Tensor, " bytes"], recipe: EchoRecipe) -> None:
    """Train in place on sequences drawn from all over `tokens`."""
    draws, masks = stream(recipe.seed, "sequences"), stream(recipe.seed, "masks")
    plain = round(recipe.batch * recipe.plain)

    def loss() -> Tensor:
        batch = torch.cat(
            [
                plain_batch(tokens, plain, recipe.length, draws),
                echo_batch(tokens, recipe.batch - plain, recipe.length, draws),
            ]
        )
        if recipe.causal:
            return model(input_ids=batch, labels=batch, use_cache=False).loss
        masked = drawn_masks(recipe.batch, recipe.length, masks)
        logits = model(input_ids=batch.masked_fill(masked, MASK), use_cache=False).logits
        return cross_entropy(logits[masked], batch[masked])

    descend(model, loss, steps=recipe.steps, rate=recipe.rate, warm_up=WARM_UP)


def echo_batch(
    tokens: Int[Tensor, " bytes"], count: int, length: int, generator: torch.Generator
) -> Int[Tensor, "count length"]:
    """Pieces of length / 2 bytes drawn from all over `tokens`, each followed by itself."""
    return plain_batch(tokens, count, length // 2, generator).repeat(1, 2)


def drawn_masks(count: int, length: int, generator: torch.Generator) -> Bool[Tensor, "count length"]:
    """Where bytes are masked: a share of each sequence, uniform in [0.02, 1]; its first half in 30% of sequences only."""
    shares = 0.02 + 0.98 * torch.rand(count, 1, generator=generator)
    masked = torch.rand(count, length, generator=generator) < shares
    everywhere = torch.rand(count, 1, generator=generator) < 0.3
    masked &= everywhere | (torch.arange(length) >= length // 2)
    masked[:, -1] |= ~masked.any(1)  # something is asked of every sequence
    return masked


@torch.inference_mode()
def second_half_nll(model: nn.Module, batch: Int[Tensor, "count length"]) -> float:
    """Mean nats a byte that a causal model pays for the second half of its sequences: for echo, the price of copying."""
    half = batch.shape[1] // 2
    logits = model(input_ids=batch, use_cache=False).logits
    return float(cross_entropy(logits[:, half - 1 : -1].flatten(0, 1), batch[:, half:].flatten()))
