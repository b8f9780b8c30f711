"""Magnitude of channels: the inputs with the largest weights are kept, whatever the token."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.activations.method import InputMethod, Weights
from fewer.core import register


@register
@dataclass(frozen=True)
class MagnitudeChannels(InputMethod):
    """Scores ||W[:, j]||_2 alone: structured pruning of inputs, the baseline that never looks at x."""

    slug: ClassVar[str] = "magnitude-channels"

    def score(self, x: Float[Tensor, "*tokens in"], layer: Weights) -> Float[Tensor, "*tokens in"]:
        return layer.norms.to(x.dtype).expand(x.shape)

    def thresholds(self, layer: Weights, threshold: float) -> Float[Tensor, " in"] | None:
        if self.kind == "random":
            return None
        return torch.where(layer.norms > threshold, -1.0, torch.inf)
