"""A masked-diffusion language model of bytes, trained where it is needed: `echo_lm` without causality, three layers deep."""

from typing import TYPE_CHECKING

from fewer.data.trained.echo_lm import MASK, EchoRecipe, echo_lm
from fewer.errors import ModelError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

__all__ = ["MASK", "RECIPE", "diffusion_lm"]

RECIPE = EchoRecipe(layers=3, length=128, steps=1600, causal=False)
"""About two minutes of training on one core. It then copies bytes that it sees masked; running text it knows little of."""


def diffusion_lm(recipe: EchoRecipe = RECIPE, text_set: str | None = None) -> "LlamaForCausalLM":
    """As `echo_lm`: bytes as vocabulary and MASK, every position sees all others. Its config says `mask_token_id`.

    Raises:
        ModelError: a recipe that is causal, or the cache folder cannot be written.
        DataError: no such text set, or it cannot be had.
    """
    if recipe.causal:
        raise ModelError(f"a diffusion model sees both sides; given: {recipe}. Use replace(recipe, causal=False).")
    model = echo_lm(recipe, text_set)
    model.config.mask_token_id = MASK
    return model
