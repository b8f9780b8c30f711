"""What a score sees of a layer while it trains, and the masks over its weights."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from fewer.core import Selection
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


def packed(masks: Masks) -> dict[str, UInt8[Tensor, " bytes"]]:
    """The masks at one bit an entry, on the CPU."""
    return {name: Selection(mask).packed() for name, mask in masks.items()}


def unpacked(bits: Mapping[str, UInt8[Tensor, " bytes"]], weights: Mapping[str, Tensor]) -> Masks:
    """Masks of these weights out of `packed`, on their devices.

    Raises:
        SelectionError: bits that are damaged or of another shape.
        KeyError: none for a weight.
    """
    return {
        name: Selection.from_packed(bits[name], tuple(weight.shape)).mask.to(weight.device) for name, weight in weights.items()
    }
