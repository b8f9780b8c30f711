"""Sparse training that any loop can do: masks at the start, and a rule that renews them."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fewer.core import Constant, Schedule, stream
from fewer.weights.training.moment import Masks, maskable
from fewer.weights.training.problem import Problem
from fewer.weights.training.record import Record
from fewer.weights.training.rule import Rule
from fewer.weights.training.start import he_normal
from fewer.weights.training.trainer import Trained, Trainer


@dataclass(frozen=True)
class InLoop(Trainer):
    """Chooses masks and nothing else, so that it trains a `Problem` and, through `fewer.attach`, any model in any loop."""

    def schedule(self, density: float, steps: int) -> Schedule:
        """How the density moves when only its end is given."""
        return Constant.of(density)

    def start(self, weights: Mapping[str, Tensor], density: float) -> Masks:
        """Masks to begin with, on the devices of the weights (by layer name), which are not changed."""
        raise NotImplementedError

    def moves(self, schedule: Schedule) -> Rule | None:
        """The rule that renews the masks while the density follows `schedule`; None when nothing does."""
        raise NotImplementedError

    def train(self, problem: Problem, density: float) -> Trained:
        model = problem.build(problem.width)
        schedule = self.schedule(density, problem.steps(self.length))
        masks = self.start(maskable(model), schedule.at(0))
        he_normal(model, masks, stream(self.seed, "weights"))
        record = Record(sum(mask.numel() for mask in masks.values()))
        masks = problem.fit(model, self.length, self.seed, masks=masks, rule=self.moves(schedule), record=record)
        return Trained(model, masks, record)
