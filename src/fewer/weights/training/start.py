"""Where sparse training starts: random masks, and weights whose scale may know how many inputs are left."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from fewer.core import Allocation, Count, noise, select
from fewer.core.pattern import Unstructured
from fewer.errors import MethodError
from fewer.weights.layers import find_layers
from fewer.weights.training.counts import layer_counts
from fewer.weights.training.moment import Masks, active, maskable


def random_masks(
    weights: nn.Module | Mapping[str, Tensor],
    density: float,
    allocation: Allocation,
    seed: int,
    scores: Mapping[str, Tensor] | None = None,
    exact: bool = True,
) -> Masks:
    """Masks with the counts of `allocation` at positions drawn by `seed`, on the devices of the weights.

    Args:
        weights: by layer name, or a model, whose maskable ones are meant.
        scores: what an allocation reads that shares out by scores; the positions know nothing of them.
        exact: False draws every weight for itself, with the layer's density as its chance (as the authors' code of
            random pruning): the count is then met in the mean only.
    """
    weights = maskable(weights) if isinstance(weights, nn.Module) else weights
    shapes = {name: tuple(w.shape) for name, w in weights.items()}
    drawn = {name: noise(shape, seed, "mask", name) for name, shape in shapes.items()}
    if exact:
        counts = layer_counts(shapes, density, allocation, scores)
        masks = {name: select(drawn[name], Unstructured(), Count(counts[name])).mask for name in shapes}
    else:
        shares = allocation.densities(shapes, density, scores)
        masks = {name: drawn[name] < shares[name] for name in shapes}
    return {name: mask.to(weights[name].device) for name, mask in masks.items()}


@torch.no_grad()
def he_normal(
    model: nn.Module,
    masks: Masks,
    generator: torch.Generator,
    inputs_left: Literal["layer", "network", "all"] = "layer",
) -> None:
    """He initialisation for sparse layers: standard deviation sqrt(2 / (fan_in * density)), biases zero.

    With the fan-in of the dense layer, activations would shrink by sqrt(density) a layer and a deep sparse net would not
    train (arXiv 2202.02643, appendix). Inactive weights are set to zero; an empty layer stays zero. The same generator
    draws the same weights for any masks, but for their scale.

    Args:
        inputs_left: whose density: the "layer"'s own, that of the whole "network" (the paper's option "scaled"), or 1 for
            "all" (plain He initialisation).
    """
    layers = find_layers(model)
    whole = active(masks) / max(sum(mask.numel() for mask in masks.values()), 1)
    for name, weight in maskable(model).items():
        mask = masks[name]
        density = {"layer": float(mask.float().mean()), "network": whole, "all": 1.0}[inputs_left]
        scale = math.sqrt(2 / max(layers[name].shape[1] * density, 1e-12))
        drawn = torch.randn(weight.shape, generator=generator) * scale
        weight.copy_(torch.where(mask, drawn.to(weight), 0.0))
        bias = layers[name].module.bias
        if isinstance(bias, nn.Parameter):
            bias.zero_()


@torch.no_grad()
def torch_default(model: nn.Module, masks: Masks, generator: torch.Generator) -> None:
    """What torch draws for linear and convolution layers: weights and biases uniform within 1 / sqrt(fan_in), of all inputs."""
    layers = find_layers(model)
    for name, weight in maskable(model).items():
        bound = 1 / math.sqrt(layers[name].shape[1])
        drawn = (2 * torch.rand(weight.shape, generator=generator) - 1) * bound
        weight.copy_(torch.where(masks[name], drawn.to(weight), 0.0))
        bias = layers[name].module.bias
        if isinstance(bias, nn.Parameter):
            bias.copy_((2 * torch.rand(bias.shape, generator=generator) - 1) * bound)


@torch.no_grad()
def xavier_normal(model: nn.Module, generator: torch.Generator) -> None:
    """Standard deviation sqrt(2 / (fan_in + fan_out)), biases zero: what layer ratios are read on (arXiv 2202.02643, code)."""
    layers = find_layers(model)
    for name, weight in maskable(model).items():
        outputs, inputs = layers[name].shape
        window = math.prod(weight.shape[2:])  # a convolution's output feeds as many positions as its kernel has
        weight.copy_(torch.randn(weight.shape, generator=generator) * math.sqrt(2 / (inputs + outputs * window)))
        bias = layers[name].module.bias
        if isinstance(bias, nn.Parameter):
            bias.zero_()


Initialisation = Literal["density-aware", "scaled", "he", "torch"]
"""Of the scale of the weights that are left: see `he_normal` for the first three, `torch_default` for the last."""

_INITIALISATIONS: dict[str, Callable[[nn.Module, Masks, torch.Generator], None]] = {
    "density-aware": he_normal,
    "scaled": lambda model, masks, generator: he_normal(model, masks, generator, "network"),
    "he": lambda model, masks, generator: he_normal(model, masks, generator, "all"),
    "torch": torch_default,
}


def initialise(model: nn.Module, masks: Masks, generator: torch.Generator, how: Initialisation = "density-aware") -> None:
    """Draw the weights that `masks` keep, in place; all others become zero. Raises MethodError for another name."""
    if how not in _INITIALISATIONS:
        raise MethodError(f'initialisation "{how}" is unknown; allowed: {", ".join(_INITIALISATIONS)}.')
    _INITIALISATIONS[how](model, masks, generator)
