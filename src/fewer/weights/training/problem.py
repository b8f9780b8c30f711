"""What is trained and how: a network of any width, data, and a recipe that sparse and dense networks share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.core import stream
from fewer.weights.training.masked import MaskedTraining
from fewer.weights.training.moment import Masks, full, maskable
from fewer.weights.training.record import Record
from fewer.weights.training.rule import Rule


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum and a learning rate that falls in steps. Nothing is retuned for sparse networks."""

    epochs: int = 40
    rate: float = 0.05
    falls: tuple[float, ...] = (0.5, 0.75)
    """Shares of the training after which the rate is divided by 10."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 128

    def optimizer(self, model: nn.Module) -> torch.optim.SGD:
        return torch.optim.SGD(
            model.parameters(), self.rate, self.momentum, weight_decay=self.weight_decay, nesterov=True, foreach=True
        )

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of `step` (from 0) of `steps`."""
        return self.rate / 10 ** sum(step >= share * steps for share in self.falls)


@dataclass(frozen=True, eq=False)
class Problem:
    """A classification problem for a network that can be built at any width."""

    inputs: Float[Tensor, "samples ..."]
    labels: Int[Tensor, " samples"]
    build: Callable[[int], nn.Module]
    """A network whose hidden layers have so many units; its initial weights do not matter."""
    width: int
    """Hidden units of the dense network."""
    recipe: Recipe = Recipe()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the dense network's maskable weights."""
        return {name: tuple(weight.shape) for name, weight in maskable(self.build(self.width)).items()}

    def steps(self, length: float) -> int:
        """Optimiser steps of `length` times the recipe's epochs."""
        return round(length * self.recipe.epochs) * -(-len(self.labels) // self.recipe.batch)

    def fit(
        self,
        model: nn.Module,
        length: float,
        seed: int,
        phase: str = "",
        masks: Masks | None = None,
        rule: Rule | None = None,
        record: Record | None = None,
    ) -> Masks:
        """Train `model` in place for `length` times the recipe's epochs, the learning rate from its start.

        Args:
            seed, phase: fix the order of the samples, anew in every epoch.
            masks: hold from the start; None trains a dense network.

        Returns:
            The masks at the end.
        """
        steps = self.steps(length)
        optimizer = self.recipe.optimizer(model)
        with MaskedTraining(model, optimizer, masks or full(model), rule, steps, record) as training:
            for step, (inputs, labels) in zip(range(steps), self._batches(stream(seed, "order", phase)), strict=False):
                optimizer.param_groups[0]["lr"] = self.recipe.rate_at(step, steps)
                optimizer.zero_grad()
                cross_entropy(model(inputs), labels).backward()
                training.saw(len(labels))
                optimizer.step()
        return training.masks

    def _batches(self, order: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for part in torch.randperm(len(self.labels), generator=order).split(self.recipe.batch):
                yield self.inputs[part], self.labels[part]
