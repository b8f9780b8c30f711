"""Scores of a network's weights before it is trained: what an allocation reads, or what chooses the positions themselves."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.functional import cross_entropy

from fewer.core import stream
from fewer.errors import CalibrationError
from fewer.weights.training.moment import maskable
from fewer.weights.training.problem import Problem

Scores = dict[str, Float[Tensor, "..."]]


@dataclass(frozen=True)
class Saliency:
    """Scores every maskable weight of a network at its start; larger = keep."""

    def scores(self, model: nn.Module, problem: Problem, seed: int) -> Scores:
        """Layer name -> scores in the shape of its weight. `model` stays as it is; `seed` draws the samples."""
        raise NotImplementedError


@dataclass(frozen=True)
class WeightMagnitude(Saliency):
    """|w|: no data are read."""

    def scores(self, model: nn.Module, problem: Problem, seed: int) -> Scores:
        return {name: weight.detach().abs() for name, weight in maskable(model).items()}


@dataclass(frozen=True)
class ConnectionSensitivity(Saliency):
    """SNIP (Lee et al. 2019, arXiv 1810.02340, eq. 4): |dL/dm| at m = 1, which is |w dL/dw|, on one batch."""

    samples: int = 128

    def scores(self, model: nn.Module, problem: Problem, seed: int) -> Scores:
        order = torch.randperm(len(problem.labels), generator=stream(seed, "saliency"))[: self.samples]
        return connection_sensitivity(model, problem.inputs[order], problem.labels[order])


@dataclass(frozen=True)
class GradientFlow(Saliency):
    """GraSP (Wang et al. 2020, arXiv 2002.07376, eq. 8): w (H g), the negative of what is called S there.

    Removing w changes the squared norm of the gradient by about -2 w (H g); what would raise it most goes first.
    """

    per_class: int = 25
    """Samples of each class; all there are where a class has fewer."""
    temperature: float = 200.0
    """Logits are divided by it, so that no softmax is near 0 or 1 before training."""

    def scores(self, model: nn.Module, problem: Problem, seed: int) -> Scores:
        order = torch.randperm(len(problem.labels), generator=stream(seed, "saliency")).to(problem.labels.device)
        found = [order[problem.labels[order] == label][: self.per_class] for label in problem.labels.unique()]
        chosen = torch.cat(found)
        return gradient_flow(model, problem.inputs[chosen], problem.labels[chosen], self.temperature)


def connection_sensitivity(model: nn.Module, inputs: Float[Tensor, "samples ..."], labels: Int[Tensor, " samples"]) -> Scores:
    """|w g|, g = dL/dw of the mean cross-entropy in training mode (batch norm uses the batch), on a copy of the model."""
    model, weights = _copied(model)
    gradients = _gradients(model, weights, inputs, labels)
    return {name: (w * g).abs().detach() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def gradient_flow(
    model: nn.Module, inputs: Float[Tensor, "samples ..."], labels: Int[Tensor, " samples"], temperature: float = 200.0
) -> Scores:
    """w (H g) over the maskable weights together: H g is the gradient of g^T stop(g), at this temperature, on a copy."""
    model, weights = _copied(model)
    gradients = _gradients(model, weights, inputs, labels, temperature, differentiable=True)
    along = sum((g * g.detach()).sum() for g in gradients)
    curved = grad(along, list(weights.values()))  # type: ignore[arg-type]
    return {name: (w * h).detach() for (name, w), h in zip(weights.items(), curved, strict=True)}


def _copied(model: nn.Module) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    model = copy.deepcopy(model).train()
    return model, maskable(model)


def _gradients(
    model: nn.Module,
    weights: dict[str, nn.Parameter],
    inputs: Tensor,
    labels: Tensor,
    temperature: float = 1.0,
    differentiable: bool = False,
) -> tuple[Tensor, ...]:
    loss = cross_entropy(model(inputs) / temperature, labels)
    if not loss.isfinite():
        raise CalibrationError(f"the loss before training is {float(loss.detach())}; look at the data and the initial weights.")
    return grad(loss, list(weights.values()), create_graph=differentiable)
