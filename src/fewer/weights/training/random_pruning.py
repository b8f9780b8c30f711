"""Static random pruning (Liu et al. 2022, arXiv 2202.02643): a random mask at initialisation that never moves."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import noise, register
from fewer.core.method import Kind, Phase
from fewer.weights.training.moment import Moment
from fewer.weights.training.scratch import FromScratch


@register
@dataclass(frozen=True)
class RandomPruning(FromScratch):
    """The random baseline of all sparse training: layer densities from the allocation, positions by chance.

    `allocation` is one of `fewer.core`: `Uniform`, `UniformPlus`, `ERK`, `ERKPlus`, or `Global` with a `saliency`, which
    makes the ratios of SNIP (`ConnectionSensitivity`), GraSP (`GradientFlow`) or global magnitude (`WeightMagnitude`).
    """

    slug: ClassVar[str] = "random-pruning"
    kind: ClassVar[Kind] = "random"
    phase: ClassVar[Phase] = "before"

    def score(self, moment: Moment) -> Float[Tensor, "..."]:
        return noise(moment.weight.shape, self.seed, "mask", moment.name)
