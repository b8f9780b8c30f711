"""Pruning while training: the density falls and the best-scored active weights stay (Zhu & Gupta 2017, arXiv 1710.01878)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from fewer.core import Allocation, Count, Global, Schedule, Unstructured, select
from fewer.weights.training.counts import layer_counts
from fewer.weights.training.moment import Masks, Moment
from fewer.weights.training.rule import Renewal, Rule


@dataclass(frozen=True)
class Shrink(Rule):
    """At the steps that the schedule names, each layer keeps what scores best. What is gone does not come back.

    By default one threshold on magnitude over all layers says how many weights a layer keeps, whatever ranks inside it.
    """

    needs_steps: ClassVar[bool] = False

    score: Callable[[Moment], Tensor]
    """Scores of a layer's weights, at least 0; larger = keep."""
    schedule: Schedule
    """Densities over optimiser steps, never rising."""
    allocation: Allocation = field(default=Global())

    def due(self, step: int, steps: int) -> bool:
        return self.schedule.due(step)

    def renew(self, layers: Mapping[str, Moment], masks: Masks, step: int, steps: int) -> Renewal:
        return Renewal(self.cut(layers, masks, self.schedule.at(step)), {})

    def cut(self, layers: Mapping[str, Moment], masks: Masks, density: float) -> Masks:
        """The masks at this density of all weights. A layer of fewer active weights than its share keeps what it has."""
        # Below every active weight, so that none comes back. One device: a global threshold pools them.
        sizes = {name: torch.where(masks[name], layer.weight.abs(), -1.0) for name, layer in layers.items()}
        pooled = {name: size.to(next(iter(sizes.values())).device) for name, size in sizes.items()}
        counts = layer_counts({name: tuple(size.shape) for name, size in sizes.items()}, density, self.allocation, pooled)
        cut = {}
        for name, layer in layers.items():
            scores = torch.where(masks[name], self.score(layer), -1.0)
            kept = Count(min(counts[name], int(masks[name].sum())))
            cut[name] = select(scores, Unstructured(), kept, name).mask
        return cut
