"""The linear layers of a model as work for kernels: what reads one input is multiplied in one go, or one after the other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewer.activations.linear import SparseLinear
from fewer.errors import ModelError
from fewer.kernels.forms import DenseForm
from fewer.weights.accelerate import FastLinear

PADDING = 32
"""Inputs of a product are zeros up to a multiple of this: the widest that a form reads at once."""


class Product(NamedTuple):
    """A kernel with its operands, and where in its results the layers are."""

    work: Any
    """`kernels.cpu.team.Work`."""
    rows: int
    """Floats of the result."""
    places: dict[int, int]
    """Number of a layer -> where its outputs begin."""


def products(names: Sequence[str], layers: Sequence[nn.Module]) -> list[Product]:
    """Of layers that read the same vector.

    Raises:
        ModelError: a layer that is no kernel's: of another kind, type or device.
    """
    made: dict[Any, Product] = {}
    for number, (name, layer) in enumerate(zip(names, layers, strict=True)):
        if not isinstance(layer, nn.Linear) or (layer.bias is not None and layer.bias.dtype is not torch.float32):
            raise ModelError(f"{name} is {type(layer).__name__}; steps are made of float32 linear layers.")
        if isinstance(layer, SparseLinear):
            key, product, at = _of_inputs(name, layer)
        elif isinstance(layer, FastLinear):
            key, product, at = _of_form(layer)
        elif type(layer) is nn.Linear:
            key, product, at = _of_weights(layer, layer.weight)
        else:
            raise ModelError(f"{name} is {type(layer).__name__}, whose product no kernel is known for.")
        made.setdefault(key, product).places[number] = at
    return list(made.values())


def _of_weights(layer: nn.Linear, weight: Tensor) -> tuple[Any, Product, int]:
    packed = DenseForm.pack(weight.detach())
    return layer, Product(packed.work, packed.height, {}), 0


def _of_form(layer: FastLinear) -> tuple[Any, Product, int]:
    stack = layer.stack
    if stack.smallest > 1:
        return _of_weights(layer, layer.dense())
    return stack, Product(stack.packed.work, stack.packed.height, {}), sum(stack.heights[: layer.place])


def _of_inputs(name: str, layer: SparseLinear) -> tuple[Any, Product, int]:
    group = layer.group
    if group.kernel is None or group.kernel.work is None:
        raise ModelError(f"{name} has sparse inputs without a kernel.")
    return group, Product(group.kernel.work, group.kernel.height, {}), group.places[layer.place]
