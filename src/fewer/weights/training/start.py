"""Where sparse training starts: random masks and weights whose scale knows how many inputs are left."""

import math

import torch
from torch import nn

from fewer.core import Allocation, Count, noise, select
from fewer.core.pattern import Unstructured
from fewer.weights.layers import find_layers
from fewer.weights.training.counts import layer_counts
from fewer.weights.training.moment import Masks, maskable


def random_masks(model: nn.Module, density: float, allocation: Allocation, seed: int) -> Masks:
    """Masks with exactly the counts of `allocation` at positions drawn by `seed`, on the devices of the weights."""
    weights = maskable(model)
    counts = layer_counts({name: tuple(w.shape) for name, w in weights.items()}, density, allocation)
    return {
        name: select(noise(w.shape, seed, "mask", name), Unstructured(), Count(counts[name])).mask.to(w.device)
        for name, w in weights.items()
    }


@torch.no_grad()
def he_normal(model: nn.Module, masks: Masks, generator: torch.Generator) -> None:
    """He initialisation for sparse layers: standard deviation sqrt(2 / (fan_in * density)), biases zero.

    With the fan-in of the dense layer, activations would shrink by sqrt(density) a layer and a deep sparse net would not
    train (arXiv 2202.02643, appendix). Inactive weights are set to zero; an empty layer stays zero.
    """
    layers = find_layers(model)
    for name, weight in maskable(model).items():
        mask = masks[name]
        inputs = layers[name].shape[1] * float(mask.float().mean())
        drawn = torch.randn(weight.shape, generator=generator) * math.sqrt(2 / max(inputs, 1e-12))
        weight.copy_(torch.where(mask, drawn.to(weight), 0.0))
        bias = layers[name].module.bias
        if isinstance(bias, nn.Parameter):
            bias.zero_()
