"""Sparse from scratch: a mask at initialisation, and a rule that may renew it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from fewer.core import ERK, Allocation, Schedule, Uniform, stream
from fewer.errors import MethodError
from fewer.weights.training.in_loop import InLoop
from fewer.weights.training.moment import Masks, magnitude
from fewer.weights.training.problem import Problem
from fewer.weights.training.record import Record
from fewer.weights.training.rule import InTurn, Rule
from fewer.weights.training.saliency import Saliency
from fewer.weights.training.shrink import Shrink
from fewer.weights.training.start import Initialisation, initialise, random_masks, xavier_normal
from fewer.weights.training.trainer import Trained, Trainer


@dataclass(frozen=True)
class SparseFromStart(Trainer):
    """Starts and stays at the asked density; a method says where the mask begins and by which rule it moves."""

    initial: Initialisation = field(default="density-aware", kw_only=True)

    def masks(self, problem: Problem, model: nn.Module, density: float) -> Masks:
        """The masks that training starts with. `model` is as it was built; its weights are drawn afterwards."""
        raise NotImplementedError

    def rule(self) -> Rule | None:
        """None keeps the mask of the start."""
        return None

    def draw(self, model: nn.Module, masks: Masks) -> None:
        """Initial weights. For other masks the same are drawn, but for their scale."""
        initialise(model, masks, stream(self.seed, "weights"), self.initial)

    def train(self, problem: Problem, density: float) -> Trained:
        model = problem.build(problem.width)
        masks = self.masks(problem, model, density)
        self.draw(model, masks)
        record = Record(sum(mask.numel() for mask in masks.values()))
        masks = problem.fit(model, self.length, self.seed, masks=masks, rule=self.rule(), record=record)
        return Trained(model, masks, record)


@dataclass(frozen=True)
class FromScratch(SparseFromStart, InLoop):
    """Random positions at the start, with the layer densities of an allocation.

    Under a schedule that falls (`fewer.attach`) it starts where the schedule does, and at each step of it loses the weights of
    smallest magnitude (a random method: random weights), as GraNet does (Liu et al. 2021, arXiv 2106.10404).
    """

    allocation: Allocation = field(default=ERK())
    saliency: Saliency | None = field(default=None, kw_only=True)
    """What an allocation by scores reads, on a network of its own with Xavier weights: `Global()` with
    `ConnectionSensitivity()` is SNIP's ratio. Positions never come from it."""
    exact: bool = field(default=True, kw_only=True)
    """False draws every weight for itself; the density is then met in the mean only."""

    def masks(self, problem: Problem, model: nn.Module, density: float) -> Masks:
        scores = None
        if self.saliency is not None:
            other = problem.build(problem.width)
            xavier_normal(other, stream(self.seed, "ratios"))
            scores = self.saliency.scores(other, problem, self.seed)
        return random_masks(model, density, self.allocation, self.seed, scores, self.exact)

    def start(self, weights: Mapping[str, Tensor], density: float) -> Masks:
        """As `masks`, where there are only weights. Raises MethodError when the layer densities need data."""
        if self.saliency is not None:
            raise MethodError(f"{self.slug} takes layer densities from data, which only a Problem has: leave out saliency=.")
        return random_masks(weights, density, self.allocation, self.seed, exact=self.exact)

    def moves(self, schedule: Schedule) -> Rule | None:
        if schedule.start == schedule.end:
            return self.rule()
        shrink = Shrink(self.score if self.kind == "random" else magnitude, schedule, self.allocation)
        return InTurn((shrink, rule)) if (rule := self.rule()) else shrink

    def random_twin(self) -> "FromScratch":
        """Random positions at the same layer densities, trained as long: nothing that is scored moves them."""
        from fewer.weights.training.random_pruning import RandomPruning

        return RandomPruning(**{f.name: getattr(self, f.name) for f in dataclasses.fields(FromScratch)})

    def uniform_twin(self) -> "FromScratch":
        return dataclasses.replace(self.random_twin(), allocation=Uniform(), saliency=None)
