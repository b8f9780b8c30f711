"""Where a transformed network starts: random masks with given counts, and initial weights."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from fewer.core import Count, Unstructured, noise, select, stream
from fewer.weights.iso_flop.part import HE
from fewer.weights.layers import find_layers
from fewer.weights.training.moment import Masks, maskable

Init = Literal["sparse", "kaiming"]
"""Variance of initial weights: "sparse" is gain / (fan-in x density), which keeps the signal at any density; "kaiming" is the
authors' 2 / fan-out."""


def draw_masks(model: nn.Module, counts: Mapping[str, int], seed: int) -> Masks:
    """Masks with these counts at positions drawn by `seed`, on the devices of the weights."""
    return {
        name: select(noise(w.shape, seed, "mask", name), Unstructured(), Count(counts[name])).mask.to(w.device)
        for name, w in maskable(model).items()
    }


@torch.no_grad()
def draw_weights(model: nn.Module, masks: Masks, gains: Mapping[str, float], init: Init, seed: int) -> None:
    """Draw the weights of the layers in `masks` from a normal distribution; biases and inactive weights become zero.

    Args:
        gains: variance times active fan-in, where it is not that of a ReLU network.
    """
    layers, generator = find_layers(model), stream(seed, "weights")
    for name, mask in masks.items():
        layer, weight = layers[name], layers[name].module.weight
        if init == "kaiming":
            variance = 2 / (weight.shape[0] * math.prod(weight.shape[2:]))
        else:
            variance = gains.get(name, HE) / max(layer.shape[1] * float(mask.float().mean()), 1e-12)
        drawn = torch.randn(weight.shape, generator=generator) * math.sqrt(variance)
        weight.copy_(torch.where(mask, drawn.to(weight), 0.0))
        if isinstance(layer.module.bias, nn.Parameter):
            layer.module.bias.zero_()
