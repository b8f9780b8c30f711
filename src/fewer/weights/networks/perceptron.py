"""Fully connected layers with ReLU between."""

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from fewer.errors import ModelError
from fewer.weights.networks.network import ImageShape, Network


@dataclass(frozen=True)
class Perceptron(Network):
    """pixels - width - ... - width - classes."""

    hidden: int = 2
    """Hidden layers."""

    def build(self, width: int, shape: ImageShape, classes: int) -> nn.Sequential:
        if self.hidden < 1 or width < 1:
            raise ModelError(f"a perceptron has at least 1 hidden layer and unit, not {self.hidden} layers of {width}.")
        return nn.Sequential(nn.Flatten(), *perceptron(math.prod(shape), *[width] * self.hidden, classes))


def perceptron(*sides: int) -> nn.Sequential:
    """Linear layers between these sides with ReLU between them, for samples [samples, sides[0]]."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sides):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
