"""Structured pruning of a trained network: whole hidden units go, by the norm of their weights, and the rest trains on."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.core import Count, Slices, register, select
from fewer.errors import ModelError
from fewer.weights.training.dense import width_for
from fewer.weights.training.finetuned import Finetuned
from fewer.weights.training.moment import Masks, Moment
from fewer.weights.training.problem import Problem
from fewer.weights.training.trainer import Form


@register
@dataclass(frozen=True)
class NeuronsFinetuned(Finetuned):
    """Keeps in each hidden layer of a chain the units of largest incoming norm: as many as come nearest to the budget.

    What is left is a smaller dense network. For chains of linear layers.
    """

    slug: ClassVar[str] = "neurons-finetuned"
    form: ClassVar[Form] = "sliced"
    pattern: ClassVar[str] = "neuron"

    def score(self, moment: Moment) -> Float[Tensor, "out in"]:
        return moment.weight.square()

    def cut(self, problem: Problem, layers: dict[str, Moment], density: float) -> Masks:
        chain = list(layers.values())
        for before, after in pairwise(chain):
            if before.weight.ndim != 2 or after.weight.shape[1:] != before.weight.shape[:1]:
                raise ModelError(f"{after.name} does not read what {before.name} puts out: only chains of linear layers can.")
        width = width_for(problem, density * sum(layer.weight.numel() for layer in chain), "nearest")
        masks, read = {}, torch.ones_like(chain[0].weight[0], dtype=torch.bool)
        for layer in chain[:-1]:
            kept = select(self.score(layer), Slices(0), Count(width), layer.name).mask
            masks[layer.name] = kept & read
            read = kept[:, 0]
        masks[chain[-1].name] = read.expand(chain[-1].weight.shape).clone()
        return masks
