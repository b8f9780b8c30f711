"""Weight decay on the product of two linear factors, in place of decay on each of them."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewer.weights.iso_flop.doped import Doped
from fewer.weights.iso_flop.factorized import Factorized
from fewer.weights.iso_flop.like import Plain


def product_norm(model: nn.Module) -> Float[Tensor, ""]:
    """Sum of ||V U||^2 over all pairs of factors with nothing between them: the layer that the pair stands for.

    Add `weight_decay / 2 * product_norm(model)` to the loss, and let the optimiser have `product_groups`. A matrix of the dense
    layer's size is computed for each pair.
    """
    squares = [(v.weight.flatten(1) @ u.weight.flatten(1)).square().sum() for u, v in _pairs(model)]
    return torch.stack(squares).sum() if squares else torch.zeros(())


def product_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: all parameters under `weight_decay`, but the weights of such factors under none."""
    factors = {id(layer.weight): layer.weight for pair in _pairs(model) for layer in pair}
    others = [parameter for parameter in model.parameters() if id(parameter) not in factors]
    return [
        {"params": others, "weight_decay": weight_decay},
        {"params": list(factors.values()), "weight_decay": 0.0},
    ]


def _pairs(model: nn.Module) -> Iterator[tuple[Plain, Plain]]:
    for module in model.modules():
        if isinstance(module, Doped) or (isinstance(module, Factorized) and module.linear):
            yield module.u, module.v
