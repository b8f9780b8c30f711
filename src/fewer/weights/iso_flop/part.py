"""What a transformed layer is made of: weights that are sparse, and weights that stay dense."""

from typing import NamedTuple

from torch import Tensor, nn

from fewer.weights.iso_flop.like import Plain

HE = 2.0
"""Variance times fan-in that keeps a ReLU network's signal (He et al. 2015)."""


class Part(NamedTuple):
    """One weight of a transformed layer."""

    layer: Plain
    sparse: bool = True
    """Is it masked?"""
    gain: float = HE
    """Its initial variance times the inputs that are active for each output."""


class Transformed(nn.Module):
    """Takes the place of one layer: same input, same output shape, as many active weights."""

    def parts(self) -> dict[str, Part]:
        """By name inside this module."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError
