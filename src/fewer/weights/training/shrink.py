"""Pruning while training: the density falls and the best-scored active weights stay (Zhu & Gupta 2017, arXiv 1710.01878)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fewer.core import Count, Global, Schedule, Unstructured, select
from fewer.weights.training.counts import layer_counts
from fewer.weights.training.moment import Masks, Moment
from fewer.weights.training.rule import Renewal, Rule


@dataclass(frozen=True)
class Shrink(Rule):
    """At the steps that the schedule names, each layer keeps what scores best. What is gone does not come back.

    One threshold on magnitude over all layers says how many weights a layer keeps, whatever ranks inside it.
    """

    score: Callable[[Moment], Tensor]
    """Scores of a layer's weights, at least 0; larger = keep."""
    schedule: Schedule
    """Densities over optimiser steps, never rising."""

    def due(self, step: int, steps: int) -> bool:
        return self.schedule.due(step)

    def renew(self, layers: Mapping[str, Moment], masks: Masks, step: int, steps: int) -> Renewal:
        # Below every active weight, so that none comes back.
        sizes = {name: torch.where(masks[name], layer.weight.abs(), -1.0) for name, layer in layers.items()}
        shapes = {name: tuple(size.shape) for name, size in sizes.items()}
        counts = layer_counts(shapes, self.schedule.at(step), Global(), sizes)
        scores = {name: torch.where(masks[name], self.score(layer), -1.0) for name, layer in layers.items()}
        return Renewal({n: select(s, Unstructured(), Count(counts[n]), n).mask for n, s in scores.items()}, {})
