"""Random search (Farahani 2024, arXiv 2403.08265): of many sub-networks at initialisation, train the one of lowest loss."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from fewer.core import parse_pattern, register, stream
from fewer.core.method import Kind, Phase
from fewer.errors import MethodError
from fewer.weights.search.budget import Samples
from fewer.weights.search.evaluation import Objective, Sampler
from fewer.weights.search.gradient import GradientNorm
from fewer.weights.search.loss import Loss
from fewer.weights.search.nodes import NodeSampler
from fewer.weights.search.search import Found, random_search
from fewer.weights.search.subnetwork import Subnetwork, WeightSampler
from fewer.weights.search.warm import WarmLoss
from fewer.weights.training.dense import width_for
from fewer.weights.training.moment import full
from fewer.weights.training.problem import Problem
from fewer.weights.training.record import Record
from fewer.weights.training.start import Initialisation, initialise
from fewer.weights.training.trainer import Form, Trained, Trainer

OBJECTIVES = ("initial-loss", "validation-loss", "warm-loss", "gradient-norm")
PART = 5  # one training sample in so many is what "validation-loss" scores on, and warm-up does not see


class Searched(NamedTuple):
    """What a search found, before anything is trained."""

    parent: nn.Module
    """The whole network at its initial weights."""
    found: Found[Subnetwork]


@register
@dataclass(frozen=True)
class RandomSearch(Trainer):
    """Scores `samples` sub-networks of one initial network and trains the winner, from the same initial weights.

    Its random twin trains the first sample unseen: same parent, budget and order of the data. Of the paper only the abstract
    was read; the defaults are ours.

    Raises:
        MethodError: an objective, a choice or a share that is unknown.
        PatternError: a unit that is neither "node" nor a pattern.
        BudgetError: no samples.
    """

    slug: ClassVar[str] = "random-search"
    phase: ClassVar[Phase] = "before"

    samples: int = 200
    unit: str = "node"
    """"node" (for chains of linear layers), or a pattern over weights: "layer" for single ones, "block:4x4", "2:4", ..."""
    objective: Literal["initial-loss", "validation-loss", "warm-loss", "gradient-norm"] = "initial-loss"
    """On the training data: the loss as it is; on a fifth of it after warm-up on the rest; on all of it after warm-up; minus
    the norm of the gradient."""
    pick: Literal["winner", "loser"] = "winner"
    """The loser has the highest score: a sharper test of whether the score says anything."""
    share_of: Literal["weights", "nodes"] = "weights"
    """What a density is a share of, when nodes are drawn: of all weights as in every other method (the nearest that whole
    nodes allow), or of each hidden layer's units as in the paper."""
    rescale: bool = False
    warm_up: int = 20
    """Optimiser steps of warm-up."""
    initial: Initialisation = field(default="he", kw_only=True)

    def __post_init__(self) -> None:
        allowed = {"objective": OBJECTIVES, "pick": ("winner", "loser"), "share_of": ("weights", "nodes")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise MethodError(f'{name} "{getattr(self, name)}" is unknown; allowed: {", ".join(values)}.')
        if self.unit != "node":
            parse_pattern(self.unit)
        Samples(self.samples)

    def train(self, problem: Problem, density: float) -> Trained:
        return self.train_found(problem, self.search(problem, density))

    def search(self, problem: Problem, density: float) -> Searched:
        """The sub-networks that come into question at this density, scored; nothing is trained."""
        parent = problem.build(problem.width)
        initialise(parent, full(parent), stream(self.seed, "weights"), self.initial)
        sampler, objective = self.sampler(problem, density), self.scored_by(problem)
        return Searched(parent, random_search(parent, sampler, objective, self.samples, seed=self.seed))

    def train_found(self, problem: Problem, searched: Searched) -> Trained:
        """The chosen sub-network, trained; the cost of the search is part of its record."""
        parent, found = searched
        chosen = found.winner if self.pick == "winner" else found.loser
        assert chosen is not None  # nothing was cut short
        model, masks = chosen.cut(parent)
        record = Record(sum(math.prod(shape) for shape in problem.shapes.values()))
        if self.samples > 1:  # a single sample wins unseen
            record.macs += found.multiply_adds
        masks = problem.fit(model, self.length, self.seed, masks=masks, record=record)
        return Trained(model, masks, record)

    def sampler(self, problem: Problem, density: float) -> Sampler[Subnetwork]:
        """Draws the sub-networks of this density."""
        if self.unit != "node":
            return WeightSampler(density, self.unit, rescale=self.rescale)
        if self.share_of == "nodes":
            return NodeSampler(density, self.rescale)
        weights = density * sum(math.prod(shape) for shape in problem.shapes.values())
        return NodeSampler(width_for(problem, weights, "nearest") / problem.width, self.rescale)

    def scored_by(self, problem: Problem) -> Objective:
        """What the search minimises, on the problem's training data."""
        inputs, labels, recipe = problem.inputs, problem.labels, problem.recipe

        def warm(judged: Loss, inputs: Tensor, labels: Tensor) -> WarmLoss:
            return WarmLoss(judged, inputs, labels, self.warm_up, recipe.rate, recipe.momentum, recipe.batch)

        if self.objective == "initial-loss":
            return Loss(inputs, labels)
        if self.objective == "gradient-norm":
            return GradientNorm(inputs, labels)
        if self.objective == "warm-loss":
            return warm(Loss(inputs, labels), inputs, labels)
        cut = len(labels) // PART
        return warm(Loss(inputs[:cut], labels[:cut]), inputs[cut:], labels[cut:])

    def random_twin(self) -> "RandomSearch":
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return RandomSubnetwork(**{**values, "samples": 1, "pick": "winner"})

    @property
    def form(self) -> Form:  # type: ignore[override]
        return "dense" if self.unit == "node" else "csr"

    @property
    def pattern(self) -> str:  # type: ignore[override]
        return "neuron" if self.unit == "node" else str(parse_pattern(self.unit))

    @property
    def needs_data(self) -> bool:  # type: ignore[override]
        return self.samples > 1


@dataclass(frozen=True)
class RandomSubnetwork(RandomSearch):
    """The control of random search: the first sub-network that it would draw, whatever its score."""

    slug: ClassVar[str] = "random-subnetwork"
    kind: ClassVar[Kind] = "random"

    samples: int = 1
