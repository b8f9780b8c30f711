"""Random pruning: the baseline that every other score has to beat."""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import noise, register
from fewer.core.method import Kind
from fewer.weights.pruner import Pruner


@register
@dataclass(frozen=True)
class Random(Pruner):
    """Scores are uniform noise from the seed and the layer's name; no weight is moved. The twin of magnitude and of Wanda."""

    slug: ClassVar[str] = "random"
    kind: ClassVar[Kind] = "random"

    def score(self, weight: Float[Tensor, "out in"], seen: Any) -> Float[Tensor, "out in"]:
        return noise(weight.shape, self.seed, seen.name).to(weight.device)
