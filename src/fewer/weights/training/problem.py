"""What is trained and how: a network of any width, data, and a recipe that sparse and dense networks share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.core import stream
from fewer.measure.flops import count
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

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            model.parameters(), self.rate, self.momentum, weight_decay=self.weight_decay, nesterov=True, foreach=True
        )

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of `step` (from 0) of `steps`."""
        return self.rate / 10 ** sum(step >= share * steps for share in self.falls)


@dataclass(frozen=True)
class AdamWRecipe(Recipe):
    """AdamW in place of SGD, for networks with layer norm; `momentum` is its first decay rate."""

    rate: float = 1e-3
    weight_decay: float = 0.05

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            model.parameters(), self.rate, (self.momentum, 0.999), weight_decay=self.weight_decay, foreach=True
        )


Augment = Callable[[Float[Tensor, "samples ..."], torch.Generator], Float[Tensor, "samples ..."]]
Watch = Callable[[int, nn.Module, Masks], None]


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
    augment: Augment | None = None
    """Changes the inputs of each training batch."""
    watch: Watch | None = None
    """Called in every step of every training with steps done, model and masks, when the gradients are there."""

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
        held = masks or full(model)
        with MaskedTraining(model, optimizer, held, rule, steps, record, uses_of(model, self.inputs[:1])) as training:
            for step, (inputs, labels) in zip(range(steps), self._batches(seed, phase), strict=False):
                optimizer.param_groups[0]["lr"] = self.recipe.rate_at(step, steps)
                optimizer.zero_grad()
                cross_entropy(model(inputs), labels).backward()
                if self.watch is not None:
                    self.watch(step, model, training.masks)
                training.saw(len(labels))
                optimizer.step()
        return training.masks

    def _batches(self, seed: int, phase: str) -> Iterator[tuple[Tensor, Tensor]]:
        order, changes = stream(seed, "order", phase), stream(seed, "augment", phase)
        while True:
            for part in torch.randperm(len(self.labels), generator=order).split(self.recipe.batch):
                inputs = self.inputs[part]
                yield inputs if self.augment is None else self.augment(inputs, changes), self.labels[part]


def uses_of(model: nn.Module, sample: Float[Tensor, "1 ..."]) -> dict[str, int]:
    """How often one sample uses each weight of a layer: 1 for a perceptron's, output positions for a convolution's."""
    layers = count(model, sample).by_layer
    return {name: layers[name].dense // (2 * weight.numel()) for name, weight in maskable(model).items() if name in layers}
