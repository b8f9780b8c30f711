"""The norm of the gradient over training: does a signal come through a sparse network?"""

import math
from dataclasses import dataclass, field

import torch
from torch import nn

from fewer.weights.training.moment import Masks, maskable


@dataclass
class GradientNorms:
    """A watch for `Problem` that notes the L2 norm of the gradient of all active weights, every so many steps."""

    every: int = 10
    steps: list[int] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    @torch.no_grad()
    def __call__(self, step: int, model: nn.Module, masks: Masks) -> None:
        if step % self.every:
            return
        squares = [
            float((weight.grad * masks[name]).square().sum())
            for name, weight in maskable(model).items()
            if weight.grad is not None
        ]
        self.steps.append(step)
        self.norms.append(math.sqrt(sum(squares)))
