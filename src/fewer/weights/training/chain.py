"""Chains of linear layers with ReLU between: the ways in which a masked one can run."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from fewer.errors import ModelError
from fewer.weights.training.moment import Masks, maskable
from fewer.weights.training.trainer import Form

Forward = Callable[[Float[Tensor, "samples in"]], Float[Tensor, "samples out"]]


class Link(NamedTuple):
    """One linear layer of a chain."""

    weight: Float[Tensor, "out in"]
    bias: Float[Tensor, " out"]
    mask: Bool[Tensor, "out in"]


def links(model: nn.Sequential, masks: Masks) -> list[Link]:
    """The layers of `model` with their masks, weights zero where inactive.

    Raises:
        ModelError: the model is anything but linear layers with bias and ReLU between.
    """
    kinds = [type(module) for module in model]
    chained = kinds == [nn.Linear, *[nn.ReLU, nn.Linear] * (len(kinds) // 2)]
    if not chained or any(module.bias is None for module in model if isinstance(module, nn.Linear)):
        raise ModelError(
            f"only linear layers with bias and ReLU between can run as a chain, not {[k.__name__ for k in kinds]}."
        )
    return [
        Link((weight * masks[name]).detach(), model.get_submodule(name).bias.detach(), masks[name])  # type: ignore[operator]
        for name, weight in maskable(model).items()
    ]


def forward(chain: list[Link], form: Form) -> Forward:
    """The chain in one of its forms. All give the same outputs.

    "masked" multiplies by the mask at each call and simulates sparsity; "dense" is its product alone; "csr" stores the active
    weights by compressed rows; "sliced" leaves out hidden units and inputs that nothing reads or feeds, whose bias must be 0.
    """
    layers = {
        "masked": lambda: [_masked(k) for k in chain],
        "dense": lambda: [_dense(k.weight, k.bias) for k in chain],
        "csr": lambda: [_csr(k) for k in chain],
        "sliced": lambda: _sliced(chain),
    }[form]()

    def run(x: Tensor) -> Tensor:
        for layer in layers[:-1]:
            x = relu(layer(x))
        return layers[-1](x)

    return run


def _dense(weight: Tensor, bias: Tensor) -> Forward:
    return lambda x: linear(x, weight, bias)


def _masked(link: Link) -> Forward:
    return lambda x: linear(x, link.weight * link.mask, link.bias)


def _csr(link: Link) -> Forward:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        rows = link.weight.to_sparse_csr()
    bias = link.bias[:, None]
    return lambda x: torch.addmm(bias, rows, x.t()).t()


def _sliced(chain: list[Link]) -> list[Forward]:
    layers, read = [], torch.ones(chain[0].mask.shape[1], dtype=torch.bool)
    for place, link in enumerate(chain):
        last = place == len(chain) - 1
        kept = torch.ones(len(link.mask), dtype=torch.bool) if last else link.mask.any(1)
        layers.append(_dense(link.weight[kept][:, read].contiguous(), link.bias[kept]))
        read = kept
    return layers
