"""What is done to the hidden units of a network in training: nothing, dropout, or all but k of them away."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from fewer.activations.lazy.networks import Network
from fewer.activations.lazy.sites import Inputs, find_sites
from fewer.activations.lazy.top_k import TopKMLP, top_k
from fewer.core import Budget, Density, Method, register
from fewer.core.method import Kind, Phase
from fewer.errors import BudgetError


@dataclass(frozen=True)
class HiddenTraining(Method):
    """Trains a network; `prepare` is what it does to the hidden units before the first step."""

    phase: ClassVar[Phase] = "during"

    network: Network = "vit"

    def prepare(self, model: nn.Module, budget: Budget, example: Inputs) -> None:
        """Changes the model in place."""

    @property
    def seeded(self) -> bool:
        return True


@register
@dataclass(frozen=True)
class NaturalReLU(HiddenTraining):
    """Plain ReLU: how many units fire, training decides. Switches say what is to be learnt, and for how long."""

    slug: ClassVar[str] = "natural-relu"
    kind: ClassVar[Kind] = "dense"

    width: int | None = None
    """Hidden units a layer; the network's own by default."""
    labels: Literal["true", "random"] = "true"
    inputs: Literal["true", "random"] = "true"
    """Random ones are Gaussian noise, the same in every epoch."""
    trained: bool = True
    """False measures the network at step 0."""
    whole: bool = True
    """Under label noise, too; False trains on clean labels alone."""
    silent: bool = False
    """No unit ever fires: what the network is worth without its MLPs, and a comparison of units must stand above."""

    def prepare(self, model: nn.Module, budget: Budget, example: Inputs) -> None:
        if self.silent:
            _replace(model, example, lambda activation: nn.Threshold(math.inf, 0.0))


@register
@dataclass(frozen=True)
class TopKTraining(HiddenTraining, TopKMLP):
    """The k largest units of each token, from the first step on, and in testing."""

    slug: ClassVar[str] = "topk-training"

    def prepare(self, model: nn.Module, budget: Budget, example: Inputs) -> None:
        top_k(model, budget, self, example=example)


@register
@dataclass(frozen=True)
class DropoutTraining(HiddenTraining):
    """Leaves the budget's share of hidden units in training, by chance (Srivastava et al. 2014), and all in testing."""

    slug: ClassVar[str] = "dropout-training"

    def prepare(self, model: nn.Module, budget: Budget, example: Inputs) -> None:
        """Raises BudgetError for anything but a density above 0."""
        if not isinstance(budget, Density) or not budget.share:
            raise BudgetError(f"dropout needs the share of units that stay, above 0, not {budget}.")
        dropped = 1 - budget.share
        _replace(model, example, lambda activation: nn.Sequential(activation, nn.Dropout(dropped)))


def _replace(model: nn.Module, example: Inputs, by: Callable[[nn.Module], nn.Module]) -> None:
    """Put something in the place of each MLP's activation."""
    for site in find_sites(model, example):
        parent, _, last = site.name.rpartition(".")
        setattr(model.get_submodule(parent), last, by(site.activation))


def switches(method: HiddenTraining) -> Mapping[str, Any]:
    """What a method asks of its task, with the defaults of those that ask nothing."""
    asks = method if isinstance(method, NaturalReLU) else NaturalReLU(method.network)
    return {name: getattr(asks, name) for name in ("width", "labels", "inputs", "trained", "whole")}
