"""Dense training: the whole network, and a network so small that it has as few weights as a sparse one."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.core import register, stream
from fewer.core.method import Kind, Phase
from fewer.weights.training.moment import Moment, full, maskable
from fewer.weights.training.problem import Problem
from fewer.weights.training.record import Record
from fewer.weights.training.start import Initialisation, initialise
from fewer.weights.training.trainer import Form, Trained, Trainer


@dataclass(frozen=True)
class WholeTrainer(Trainer):
    """Keeps every weight of the network that it trains."""

    form: ClassVar[Form] = "dense"
    pattern: ClassVar[str] = "dense"
    phase: ClassVar[Phase] = "before"

    initial: Initialisation = field(default="density-aware", kw_only=True)

    def score(self, moment: Moment) -> Float[Tensor, "..."]:
        return torch.ones_like(moment.weight)


@register
@dataclass(frozen=True)
class DenseTraining(WholeTrainer):
    """Trains the whole network, whatever the budget."""

    slug: ClassVar[str] = "dense-training"
    kind: ClassVar[Kind] = "dense"

    extra: float = 0.0
    """Epochs after that, in those of the recipe, with the learning rate from its start again."""

    @property
    def epochs(self) -> float:
        return self.length + self.extra

    def train(self, problem: Problem, density: float = 1.0) -> Trained:
        model = problem.build(problem.width)
        masks = full(model)
        initialise(model, masks, stream(self.seed, "weights"), self.initial)
        record = Record(sum(mask.numel() for mask in masks.values()))
        problem.fit(model, self.length, self.seed, record=record)
        if self.extra:
            problem.fit(model, self.extra, self.seed, "extra", record=record)
        return Trained(model, masks, record)


@register
@dataclass(frozen=True)
class SmallDense(WholeTrainer):
    """Trains a dense network of the same depth that is narrow enough for the budget: what any sparse one should beat."""

    slug: ClassVar[str] = "small-dense"

    fit: Literal["below", "nearest"] = "below"
    """At most as many weights as the budget allows, or as near to it as a width comes."""

    def train(self, problem: Problem, density: float) -> Trained:
        size = sum(map(math.prod, problem.shapes.values()))
        model = problem.build(width_for(problem, density * size, self.fit))
        masks = full(model)
        initialise(model, masks, stream(self.seed, "weights"), self.initial)
        record = Record(size)
        problem.fit(model, self.length, self.seed, record=record)
        return Trained(model, masks, record)


def width_for(problem: Problem, weights: float, fit: Literal["below", "nearest"] = "below") -> int:
    """Hidden width, from 1 to the problem's own, at which a dense network has at most, or about, so many weights."""

    def size(width: int) -> int:
        return sum(weight.numel() for weight in maskable(problem.build(width)).values())

    width = 1
    while width < problem.width and size(width + 1) <= weights:
        width += 1
    if fit == "nearest" and width < problem.width and abs(size(width + 1) - weights) < abs(size(width) - weights):
        width += 1
    return width
