"""Gradual magnitude pruning as a method: one training, dense at first (Zhu & Gupta 2017, arXiv 1710.01878)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.core import Allocation, Constant, Cubic, Global, Schedule, register
from fewer.core.method import Phase
from fewer.weights.training.in_loop import InLoop
from fewer.weights.training.moment import Masks, Moment, magnitude
from fewer.weights.training.shrink import Shrink


@register
@dataclass(frozen=True)
class GradualMagnitude(InLoop):
    """The density falls from 1 by a cubic; the largest |w| of all layers together stay."""

    slug: ClassVar[str] = "gradual-magnitude"
    phase: ClassVar[Phase] = "during"

    begin: float = 0.25
    """Share of the training after which weights begin to go."""
    until: float = 0.75
    """Share of the training after which the density is reached."""
    every: int = 10
    """Steps between cuts."""
    allocation: Allocation = field(default=Global())
    """Layer densities, from magnitudes where it reads scores, whatever ranks inside a layer."""

    def score(self, moment: Moment) -> Float[Tensor, "..."]:
        return magnitude(moment)

    def schedule(self, density: float, steps: int) -> Cubic:
        return Cubic(1.0, density, int(self.begin * steps), int(self.until * steps), self.every)

    def start(self, weights: Mapping[str, Tensor], density: float) -> Masks:
        layers = {name: Moment(name, weight.detach()) for name, weight in weights.items()}
        whole = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
        return self._shrink(Constant.of(density)).cut(layers, whole, density)

    def moves(self, schedule: Schedule) -> Shrink | None:
        return self._shrink(schedule) if schedule.start > schedule.end else None

    def _shrink(self, schedule: Schedule) -> Shrink:
        return Shrink(self.score, schedule, self.allocation)
