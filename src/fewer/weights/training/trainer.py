"""What a training method is: it turns a problem and a density into a trained network."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Self

from torch import nn

from fewer.core import Method
from fewer.weights.training.moment import Masks
from fewer.weights.training.problem import Problem
from fewer.weights.training.record import Record

Form = Literal["dense", "csr", "sliced", "masked"]
"""How a network runs once it is trained: as it is, compressed rows, smaller matrices, or dense products with zeros in them."""


class Trained(NamedTuple):
    """A trained network."""

    model: nn.Module
    masks: Masks
    """Over the model's own maskable weights."""
    record: Record


@dataclass(frozen=True)
class Trainer(Method):
    """A method that has training in its hands. `seed` fixes initial weights, masks and the order of the data."""

    form: ClassVar[Form] = "csr"
    pattern: ClassVar[str] = "unstructured"

    length: float = 1.0
    """Epochs of its training from scratch, in those of the recipe."""

    def train(self, problem: Problem, density: float) -> Trained:
        """A network with at most this share of the dense network's weights, or the nearest that the pattern allows."""
        raise NotImplementedError

    @property
    def seeded(self) -> bool:
        return True

    @property
    def epochs(self) -> float:
        """All epochs that it trains, in those of the recipe."""
        return self.length

    def stretched(self, factor: float) -> Self:
        """The same with `factor` times the recipe's epochs for what it trains sparsely (what was longer stays so)."""
        return dataclasses.replace(self, length=max(self.length, factor))

    def uniform_twin(self) -> Method:
        """Its random twin with the same density in every layer."""
        return self.random_twin()
