"""What a score sees of a layer while it trains, and the masks over its weights."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fewer.weights.layers import find_layers

Masks = dict[str, Bool[Tensor, "..."]]
"""Layer name -> mask in the shape of the layer's own weight; True where a weight is active."""


class Moment(NamedTuple):
    """One layer at one moment of training."""

    name: str
    """Name of the layer."""
    weight: Float[Tensor, "..."]
    """Its weights; zero where they are not active."""
    gradient: Float[Tensor, "..."] | None = None
    """Gradient of ALL its weights, inactive ones too; None unless the rule reads gradients."""
    step: int = 0
    """Optimiser steps done."""


def magnitude(moment: Moment) -> Float[Tensor, "..."]:
    """The score of most rules: |w|."""
    return moment.weight.abs()


def maskable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that masks are laid on, by layer name, in order; biases and norms are never masked.

    Raises:
        ModelError: the model has no such layer.
    """
    return {name: layer.module.weight for name, layer in find_layers(model).items()}


def full(model: nn.Module) -> Masks:
    """Masks that keep everything."""
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in maskable(model).items()}


def active(masks: Masks) -> int:
    """How many weights are active in all layers together."""
    return sum(int(mask.sum()) for mask in masks.values())
