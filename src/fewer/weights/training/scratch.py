"""Sparse from scratch: a random mask at initialisation, and a rule that may renew it."""

import dataclasses
from dataclasses import dataclass, field

from fewer.core import ERK, Allocation, Uniform, stream
from fewer.weights.training.problem import Problem
from fewer.weights.training.record import Record
from fewer.weights.training.rule import Rule
from fewer.weights.training.start import he_normal, random_masks
from fewer.weights.training.trainer import Trained, Trainer


@dataclass(frozen=True)
class FromScratch(Trainer):
    """Starts and stays at the asked density; a method says by which rule its mask moves."""

    allocation: Allocation = field(default=ERK())

    def rule(self) -> Rule | None:
        """None keeps the mask of the start."""
        raise NotImplementedError

    def random_twin(self) -> "FromScratch":
        """Random positions at the same layer densities, trained as long: nothing that is scored moves them."""
        from fewer.weights.training.random_pruning import RandomPruning

        return RandomPruning(length=self.length, allocation=self.allocation, seed=self.seed)

    def uniform_twin(self) -> "FromScratch":
        return dataclasses.replace(self.random_twin(), allocation=Uniform())

    def train(self, problem: Problem, density: float) -> Trained:
        model = problem.build(problem.width)
        masks = random_masks(model, density, self.allocation, self.seed)
        he_normal(model, masks, stream(self.seed, "weights"))
        record = Record(sum(mask.numel() for mask in masks.values()))
        masks = problem.fit(model, self.length, self.seed, masks=masks, rule=self.rule(), record=record)
        return Trained(model, masks, record)
