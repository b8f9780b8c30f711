"""The loss after a few steps of training."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.core import stream
from fewer.weights.search.evaluation import Bound
from fewer.weights.search.loss import Loss
from fewer.weights.search.subnetwork import Subnetwork
from fewer.weights.search.uses import forward_macs
from fewer.weights.training.masked import MaskedTraining


@dataclass(frozen=True, eq=False)
class WarmLoss:
    """`judged` after `steps` of SGD; every candidate sees the same batches. What is trained is thrown away."""

    judged: Loss
    inputs: Float[Tensor, "samples ..."]
    """What is trained on."""
    labels: Int[Tensor, " samples"]
    steps: int = 20
    rate: float = 0.05
    momentum: float = 0.9
    batch: int = 64

    def bounds(self, parent: nn.Module, candidate: Subnetwork) -> Iterator[Bound]:
        model, masks = candidate.cut(parent)
        each = forward_macs(parent, self.inputs, masks)
        optimizer = torch.optim.SGD(model.parameters(), self.rate, self.momentum)
        order, trained = stream(0, "warm-up"), 0
        model.train()
        with MaskedTraining(model, optimizer, masks, steps=self.steps):
            for _ in range(self.steps):
                part = torch.randint(len(self.labels), (self.batch,), generator=order)
                optimizer.zero_grad()
                cross_entropy(model(self.inputs[part]), self.labels[part]).backward()
                optimizer.step()
                trained += len(part)
        yield from self.judged.of(model, each, spent=3 * trained * each)  # forward, and backward to inputs and to weights
