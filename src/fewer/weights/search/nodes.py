"""Sub-networks by nodes: hidden units are kept whole or not at all (Farahani 2024, arXiv 2403.08265)."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from fewer.core import Count, Slices, noise, select
from fewer.errors import ModelError
from fewer.weights.search.subnetwork import Cut, check_density, masked, rescaling
from fewer.weights.training.moment import Masks, full

ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity, nn.Dropout)


@dataclass(frozen=True, eq=False)
class NodeSubnetwork:
    """Some of the hidden units of a chain of linear layers."""

    kept: Mapping[str, Bool[Tensor, " units"]]
    """Hidden layer -> its units that stay. Inputs and outputs are never cut."""
    rescale: bool = False

    @torch.no_grad()
    def cut(self, parent: nn.Module) -> Cut:
        """Dense slices, rows kept here by columns kept before: a smaller network, with all its weights."""
        chain_of(parent)
        parts: dict[str, nn.Module] = {}
        before: Tensor | None = None
        for name, module in parent.named_children():
            if isinstance(module, nn.Linear):
                here = self.kept.get(name)
                parts[name] = _sliced(module, here, before, self.rescale)
                before = here
            else:
                parts[name] = copy.copy(module)  # with a mode of its own
        model = nn.Sequential()
        for name, part in parts.items():
            model.add_module(name, part)
        return Cut(model, full(model))

    def masks(self, parent: nn.Module) -> Masks:
        """The same as masks over the parent's weights: [unit kept here and unit kept before]."""
        found, before = {}, None
        for name, linear in chain_of(parent).items():
            here = self.kept.get(name, torch.ones(linear.out_features, dtype=torch.bool))
            read = torch.ones(linear.in_features, dtype=torch.bool) if before is None else before
            found[name] = here[:, None] & read
            before = here
        return found

    def masked(self, parent: nn.Module) -> Cut:
        """The sub-network as the parent with masks; its outputs are those of `cut`."""
        masks = self.masks(parent)
        return Cut(masked(parent, masks, self.rescale), masks)


@dataclass(frozen=True)
class NodeSampler:
    """Draws of every hidden layer max(1, round(density * units)) units, uniformly and without replacement."""

    density: float
    """Share of the hidden units that is kept, in (0, 1]; of the weights between two hidden layers, its square."""
    rescale: bool = False
    """Multiply what is kept by sqrt(1 / density) of its layer, so that activations keep their size."""

    def __post_init__(self) -> None:
        check_density(self.density)

    def draw(self, parent: nn.Module, seed: int, sample: int) -> NodeSubnetwork:
        """Raises ModelError unless the parent is a chain of linear layers."""
        *hidden, _ = chain_of(parent).items()
        kept = {}
        for name, linear in hidden:
            count = Count(max(1, round(self.density * linear.out_features)))
            kept[name] = select(noise((linear.out_features, 1), seed, sample, name), Slices(0), count, name).mask[:, 0]
        return NodeSubnetwork(kept, self.rescale)


def chain_of(parent: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers of a chain, by name and in order.

    Raises:
        ModelError: anything but an nn.Sequential of at least two linear layers that read one another, with elementwise
            functions between (and nn.Flatten before the first).
    """
    children: dict[str, Any] = dict(parent.named_children()) if isinstance(parent, nn.Sequential) else {}
    found = {name: module for name, module in children.items() if isinstance(module, nn.Linear)}
    if len(found) < 2:
        raise ModelError(
            "nodes can be drawn from an nn.Sequential of two or more linear layers with elementwise functions between; this "
            f"{type(parent).__name__} is none. Draw weights (WeightSampler), or write a sampler of your own."
        )
    first = next(iter(found))
    for name, module in children.items():
        leading = isinstance(module, nn.Flatten) and list(children).index(name) < list(children).index(first)
        if not isinstance(module, (nn.Linear, *ELEMENTWISE)) and not leading:
            raise ModelError(
                f"layer {name} is a {type(module).__name__}, which may mix units or depend on how many there are; nodes can be "
                "drawn where only elementwise functions stand between linear layers. Draw weights (WeightSampler)."
            )
    for (name, a), (other, b) in pairwise(found.items()):
        if a.out_features != b.in_features:
            raise ModelError(f"layer {other} reads {b.in_features} values, but layer {name} puts out {a.out_features}.")
    return found


def _sliced(linear: nn.Linear, rows: Tensor | None, columns: Tensor | None, rescale: bool) -> nn.Linear:
    weight = linear.weight if columns is None else linear.weight[:, columns]
    weight = weight.clone() if rows is None else weight[rows]
    made = nn.Linear(weight.shape[1], weight.shape[0], linear.bias is not None, device="meta")  # draws no random numbers
    if rescale:
        weight = weight * rescaling(weight.numel(), linear.weight.numel())
    made.weight = nn.Parameter(weight)
    if linear.bias is not None:
        made.bias = nn.Parameter(linear.bias.clone() if rows is None else linear.bias[rows])
    return made
