"""Sub-networks of a parent: weights that stay where they were at initialisation, and nothing else."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from fewer.core import Allocation, Density, Pattern, Selections, Uniform, noise, parse_pattern, select
from fewer.core.selection import Selection
from fewer.errors import BudgetError
from fewer.weights.layers import find_layers
from fewer.weights.training.moment import Masks, maskable


class Cut(NamedTuple):
    """A sub-network as a network of its own."""

    model: nn.Module
    masks: Masks
    """Over the model's own maskable weights; they keep everything where the model is a smaller dense one."""


class Subnetwork(Protocol):
    """What the objectives of this package score."""

    def cut(self, parent: nn.Module) -> Cut:
        """The sub-network in its cheapest form, with the parent's weights; the parent stays as it was."""
        ...


@dataclass(frozen=True, eq=False)
class WeightSubnetwork:
    """Some of a network's weights."""

    selections: Selections
    """By layer, in the shape of its weight."""
    rescale: bool = False

    def cut(self, parent: nn.Module) -> Cut:
        """A copy in which the other weights are zero, as dense products with zeros in them."""
        masks = {name: selection.mask for name, selection in self.selections.items()}
        return Cut(masked(parent, masks, self.rescale), masks)


@dataclass(frozen=True)
class WeightSampler:
    """Draws weights uniformly, alone or in blocks, as a pattern says what is kept as one and within what."""

    density: float
    """Share of the weights that is kept, in (0, 1]; of every unit of the pattern at least one candidate."""
    pattern: Pattern | str = "layer"
    """"layer" for single weights, "block:16x16" for blocks, "2:4", ..."""
    allocation: Allocation = Uniform()  # noqa: RUF009 - frozen
    rescale: bool = False
    """Multiply what is kept by sqrt(1 / density) of its layer, so that activations keep their size."""

    def __post_init__(self) -> None:
        check_density(self.density)

    def draw(self, parent: nn.Module, seed: int, sample: int) -> WeightSubnetwork:
        """Raises PatternError where the pattern does not fit a layer."""
        layers, pattern = find_layers(parent), parse_pattern(self.pattern)
        shares = self.allocation.densities({name: layer.shape for name, layer in layers.items()}, self.density)
        chosen = {}
        for name, layer in layers.items():
            mask = select(noise(layer.shape, seed, sample, name), pattern, Density(shares[name]), name).mask
            chosen[name] = Selection(layer.as_stored(mask), str(pattern))
        return WeightSubnetwork(Selections(chosen), self.rescale)


@torch.no_grad()
def masked(parent: nn.Module, masks: Mapping[str, Bool[Tensor, "..."]], rescale: bool) -> nn.Module:
    """A copy of `parent` whose weights are zero outside `masks`; with `rescale`, larger by sqrt(1 / density) inside."""
    model = copy.deepcopy(parent)
    for name, weight in maskable(model).items():
        mask = masks[name].to(weight.device)
        weight.masked_fill_(~mask, 0)
        if rescale:
            weight.mul_(rescaling(int(mask.count_nonzero()), mask.numel()))
    return model


def rescaling(kept: int, size: int) -> float:
    """sqrt(1 / density) of a layer."""
    return math.sqrt(size / kept)


def check_density(density: float) -> None:
    """Raise BudgetError unless something is kept."""
    if not Density(density).share:
        raise BudgetError("a sub-network needs a density above 0: an empty layer disconnects its network.")
