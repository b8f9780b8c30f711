"""The module that leaves few hidden units standing."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from fewer.core import Budget


class Hidden(NamedTuple):
    """Hidden units, as they are scored."""

    value: Float[Tensor, "*tokens units"]
    name: str
    """Salts the noise of random twins: the layer's, in training with the number of the step."""


class SparseHidden(nn.Module):
    """An activation, of which `keep` leaves as much as the budget allows. It has no weights of its own.

    In training every call has a name of its own, so that a random twin draws anew; in evaluation all calls have the
    layer's, so that it draws the same.
    """

    def __init__(self, activation: nn.Module, keep: Callable[[Hidden, Budget], Tensor], budget: Budget, name: str) -> None:
        super().__init__()
        self.activation, self.keep, self.budget, self.name = activation, keep, budget, name
        self.calls = 0
        """In training."""

    def forward(self, x: Float[Tensor, "*tokens units"]) -> Float[Tensor, "*tokens units"]:
        self.calls += self.training
        name = f"{self.name} {self.calls}" if self.training else self.name
        return self.keep(Hidden(self.activation(x), name), self.budget)

    def extra_repr(self) -> str:
        return str(self.budget)
