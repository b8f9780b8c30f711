"""Gradual magnitude pruning as a method: one training, dense at first (Zhu & Gupta 2017, arXiv 1710.01878)."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import Cubic, register, stream
from fewer.core.method import Phase
from fewer.weights.training.moment import Moment, full
from fewer.weights.training.problem import Problem
from fewer.weights.training.record import Record
from fewer.weights.training.shrink import Shrink
from fewer.weights.training.start import he_normal
from fewer.weights.training.trainer import Trained, Trainer


@register
@dataclass(frozen=True)
class GradualMagnitude(Trainer):
    """The density falls from 1 by a cubic; the largest |w| of all layers together stay."""

    slug: ClassVar[str] = "gradual-magnitude"
    phase: ClassVar[Phase] = "during"

    begin: float = 0.25
    """Share of the training after which weights begin to go."""
    until: float = 0.75
    """Share of the training after which the density is reached."""
    every: int = 10
    """Steps between cuts."""

    def score(self, moment: Moment) -> Float[Tensor, "..."]:
        return moment.weight.abs()

    def train(self, problem: Problem, density: float) -> Trained:
        model = problem.build(problem.width)
        masks = full(model)
        he_normal(model, masks, stream(self.seed, "weights"))
        record = Record(sum(mask.numel() for mask in masks.values()))
        steps = problem.steps(self.length)
        schedule = Cubic(1.0, density, int(self.begin * steps), int(self.until * steps), self.every)
        rule = Shrink(self.score, schedule)
        masks = problem.fit(model, self.length, self.seed, masks=masks, rule=rule, record=record)
        return Trained(model, masks, record)
