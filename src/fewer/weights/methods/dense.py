"""The dense twin of every pruner: nothing is dropped."""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import Budget, Density, register
from fewer.core.method import Kind
from fewer.weights.pruner import Pruned, Pruner


@register
@dataclass(frozen=True)
class Dense(Pruner):
    """Keeps every weight, whatever the budget."""

    slug: ClassVar[str] = "dense"
    kind: ClassVar[Kind] = "dense"

    def score(self, weight: Float[Tensor, "out in"], seen: Any) -> Float[Tensor, "out in"]:
        return weight.new_ones(weight.shape)

    def prune(self, weight: Float[Tensor, "out in"], seen: Any, budget: Budget) -> Pruned:
        return super().prune(weight, seen, Density(1))
