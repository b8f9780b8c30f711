"""Magnitude pruning (Han et al. 2015, arXiv 1506.02626): keep the weights that are largest."""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import register
from fewer.weights.pruner import Pruner


@register
@dataclass(frozen=True)
class Magnitude(Pruner):
    """Scores |W|; needs no data.

    Compared within each output row by default, so that it differs from Wanda in the score alone; Wanda's authors compare
    magnitude over the whole layer (pattern="layer"), which is a little better or worse by model.
    """

    slug: ClassVar[str] = "magnitude"

    def score(self, weight: Float[Tensor, "out in"], seen: Any) -> Float[Tensor, "out in"]:
        return weight.abs()
