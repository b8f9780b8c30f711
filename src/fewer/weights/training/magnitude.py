"""Magnitude pruning of a trained network, then training of what is left (Han et al. 2015, arXiv 1506.02626)."""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import Allocation, Count, Global, Method, Uniform, Unstructured, register, select
from fewer.weights.training.counts import layer_counts
from fewer.weights.training.finetuned import Finetuned
from fewer.weights.training.moment import Masks, Moment
from fewer.weights.training.problem import Problem


@register
@dataclass(frozen=True)
class MagnitudeFinetuned(Finetuned):
    """Keeps the largest |w| of all layers together. Its random twin keeps as many in each layer, at random positions."""

    slug: ClassVar[str] = "magnitude-finetuned"

    allocation: Allocation = field(default=Global())
    """Layer densities, from magnitudes where it reads scores, whatever ranks inside a layer."""

    def score(self, moment: Moment) -> Float[Tensor, "..."]:
        return moment.weight.abs()

    def cut(self, problem: Problem, layers: dict[str, Moment], density: float) -> Masks:
        sizes = {name: layer.weight.abs() for name, layer in layers.items()}
        counts = layer_counts({name: tuple(s.shape) for name, s in sizes.items()}, density, self.allocation, sizes)
        return {
            name: select(self.score(layer), Unstructured(), Count(counts[name]), name).mask for name, layer in layers.items()
        }

    def uniform_twin(self) -> Method:
        return dataclasses.replace(self, allocation=Uniform()).random_twin()
