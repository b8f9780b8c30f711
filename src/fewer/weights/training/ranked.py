"""Pruned before training, by scores on the network's own initial weights: SNIP and GraSP. What is left is trained."""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from fewer.core import Allocation, Count, Global, Method, Uniform, Unstructured, register, select
from fewer.core.method import Phase
from fewer.weights.training.counts import layer_counts
from fewer.weights.training.moment import Masks, full
from fewer.weights.training.problem import Problem
from fewer.weights.training.saliency import ConnectionSensitivity, GradientFlow, Saliency
from fewer.weights.training.scratch import SparseFromStart
from fewer.weights.training.start import Initialisation


class Ranked(NamedTuple):
    """One layer with its scores."""

    name: str
    scores: Float[Tensor, "..."]
    """Larger = keep."""


@dataclass(frozen=True)
class RankedStart(SparseFromStart):
    """Keeps the weights of highest saliency at the start and trains them, as they were scored: both papers do.

    What is chosen is larger than the mean, so that a scale for the density left would overshoot (perceptrons 64-32-32-10 at
    density 0.1 on digits: 0.52 in place of 0.83). The random twin shuffles the mask within each layer, and at random positions
    it needs that scale.
    """

    phase: ClassVar[Phase] = "before"
    needs_data: ClassVar[bool] = True

    initial: Initialisation = field(default="he", kw_only=True)
    saliency: Saliency = field(default=ConnectionSensitivity())
    allocation: Allocation = field(default=Global())
    """Layer densities, from the saliency where it reads scores, whatever ranks inside a layer."""

    def score(self, layer: Ranked) -> Float[Tensor, "..."]:
        return layer.scores

    def masks(self, problem: Problem, model: nn.Module, density: float) -> Masks:
        self.draw(model, full(model))
        found = self.saliency.scores(model, problem, self.seed)
        counts = layer_counts({name: tuple(s.shape) for name, s in found.items()}, density, self.allocation, found)
        return {
            name: select(self.score(Ranked(name, scores)), Unstructured(), Count(counts[name]), name).mask
            for name, scores in found.items()
        }

    def random_twin(self) -> Method:
        aware = dataclasses.replace(self, initial="density-aware") if self.initial == "he" else self
        return super(RankedStart, aware).random_twin()

    def uniform_twin(self) -> Method:
        return dataclasses.replace(self, allocation=Uniform()).random_twin()


@register
@dataclass(frozen=True)
class SnipTraining(RankedStart):
    """SNIP (Lee et al. 2019, arXiv 1810.02340): |w dL/dw| on one batch, one threshold over all layers."""

    slug: ClassVar[str] = "snip-training"


@register
@dataclass(frozen=True)
class GraspTraining(RankedStart):
    """GraSP (Wang et al. 2020, arXiv 2002.07376): w (H g) on some samples of each class, one threshold over all layers."""

    slug: ClassVar[str] = "grasp-training"

    saliency: Saliency = field(default=GradientFlow())
