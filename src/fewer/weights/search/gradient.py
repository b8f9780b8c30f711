"""The gradient at initialisation: how much a first step could move."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.weights.search.evaluation import Bound
from fewer.weights.search.subnetwork import Subnetwork
from fewer.weights.search.uses import forward_macs


@dataclass(frozen=True, eq=False)
class GradientNorm:
    """Minus the norm of the loss's gradient over the weights that are kept: the largest gradient wins."""

    inputs: Float[Tensor, "samples ..."]
    labels: Int[Tensor, " samples"]

    def bounds(self, parent: nn.Module, candidate: Subnetwork) -> Iterator[Bound]:
        model, masks = candidate.cut(parent)
        model.eval()
        with torch.enable_grad():
            loss = cross_entropy(model(self.inputs), self.labels)
            weights = {name: model.get_submodule(name).weight for name in masks}
            gradients = torch.autograd.grad(loss, list(weights.values()))  # type: ignore[arg-type]
        squares = sum(float((g * masks[name]).square().sum()) for name, g in zip(weights, gradients, strict=True))
        yield Bound(-(squares**0.5), 3 * len(self.labels) * forward_macs(parent, self.inputs, masks))
