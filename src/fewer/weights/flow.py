"""Effective weights of networks that branch: which active weights lie on a path from an input to an output."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewer.errors import ModelError
from fewer.weights.training.moment import Masks, maskable

_PASSES = (nn.ReLU, nn.Identity, nn.Flatten, nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.Dropout)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def effective_weights(model: nn.Module, masks: Masks, sample: Float[Tensor, "1 ..."]) -> int:
    """Active weights that a signal can cross, in linear and convolution layers with ReLU, batch norm, pooling and sums between.

    Every active weight becomes positive, biases and shifts 0, the input ones: a weight then has a gradient exactly where an
    input reaches it and it reaches an output. On a chain this is `effective(...).effective`.

    Raises:
        ModelError: a module that mixes units in another way (layer norm, attention), in which paths say nothing.
    """
    walked = copy.deepcopy(model).eval().double()
    for module in walked.modules():
        leaf = not any(True for _ in module.children())
        if leaf and not isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, *_PASSES, *_NORMS)):
            raise ModelError(f"paths are not followed through a {type(module).__name__}; nothing is said of effective weights.")
        if isinstance(module, _NORMS):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    weights = maskable(walked)
    with torch.no_grad():
        for name, weight in weights.items():
            inputs = masks[name].flatten(1).sum(1).clamp(min=1)  # a mean over inputs neither overflows nor fades in depth
            weight.copy_(masks[name] / inputs.view(-1, *[1] * (weight.ndim - 1)))
    with torch.enable_grad():
        walked(torch.ones_like(sample, dtype=torch.double)).sum().backward()
    return sum(int((masks[name] & (weight.grad > 0)).sum()) for name, weight in weights.items() if weight.grad is not None)
